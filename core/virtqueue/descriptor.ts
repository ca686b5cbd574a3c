/** Descriptor flags (virtio 1.4, 2.7.5, 2.8): the chain goes on, at `next` or in the next slot. */
export const NEXT = 1;
/** The device writes to this buffer; in a used descriptor of a packed ring: it has written. */
export const WRITE = 2;
/** The buffer holds a table of descriptors. */
export const INDIRECT = 4;
/** In a packed ring (2.8.1): equals the driver's wrap counter where it made the descriptor available. */
export const AVAILABLE = 1 << 7;
/** In a packed ring: differs from {@linkcode AVAILABLE} in an available descriptor, equals it in a used one. */
export const USED = 1 << 15;

/** In the available ring's flags: do not interrupt (2.7.6). In the used ring's: do not notify (2.7.8). */
export const QUIET = 1;

/** 32-bit words of one descriptor: address low, address high, length, then two halves. */
export const WORDS = 4;
