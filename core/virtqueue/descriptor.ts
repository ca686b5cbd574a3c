/** Descriptor flags (virtio 1.4, 2.7.5): the chain goes on at `next`. */
export const NEXT = 1;
/** The device writes to this buffer. */
export const WRITE = 2;
/** The buffer holds a table of descriptors. */
export const INDIRECT = 4;

/** In the available ring's flags: do not interrupt (2.7.6). In the used ring's: do not notify (2.7.8). */
export const QUIET = 1;

/** 32-bit words of one descriptor: address low, address high, length, then flags and `next` as halves. */
export const WORDS = 4;
