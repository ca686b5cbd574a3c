/**
 * What a memory balloon and its driver say to each other: names, numbers and offsets of the specification
 * (virtio 1.4, 5.5), without the prefix `VIRTIO_BALLOON_`. All fields are little-endian, those of legacy devices
 * included (5.5.4).
 *
 * @module
 */

/** Device id of the traditional memory balloon (5.5.1). */
export const DEVICE_ID = 5;

/** Bytes of a page, whatever the processor's pages are (5.5.6). */
export const PAGE_BYTES = 4096;

// Virtqueues (5.5.2), by their places in the specification.

/** Pages that go into the balloon. */
export const QUEUE_INFLATE = 0;
/** Pages that come out of it. */
export const QUEUE_DEFLATE = 1;
/** Statistics; with {@linkcode F_STATS_VQ}. */
export const QUEUE_STATS = 2;
/** Hints at free pages; with {@linkcode F_FREE_PAGE_HINT}. */
export const QUEUE_FREE_PAGE = 3;
/** Reports of free pages; with {@linkcode F_PAGE_REPORTING}. */
export const QUEUE_REPORTING = 4;

// Feature bits (5.5.3), as masks.

/** The device must be told before pages out of the balloon are used again. */
export const F_MUST_TELL_HOST = 1n << 0n;
/** The device takes statistics. */
export const F_STATS_VQ = 1n << 1n;
/** The balloon may be smaller than the device wants while memory is short. */
export const F_DEFLATE_ON_OOM = 1n << 2n;
/** The device asks for hints at free pages. */
export const F_FREE_PAGE_HINT = 1n << 3n;
/** The driver says what free pages are filled with. */
export const F_PAGE_POISON = 1n << 4n;
/** The device takes reports of free pages. */
export const F_PAGE_REPORTING = 1n << 5n;

// Device configuration (5.5.4): offset of each field in bytes; all are 32 bits wide.

/** Pages that the device wants in the balloon. */
export const CONFIG_NUM_PAGES = 0;
/** Pages that are in it; the driver writes this. */
export const CONFIG_ACTUAL = 4;
/** Which round of hints the device wants; with {@linkcode F_FREE_PAGE_HINT}. */
export const CONFIG_FREE_PAGE_HINT_CMD_ID = 8;
/** What free pages are filled with; the driver writes this; with {@linkcode F_PAGE_POISON}. */
export const CONFIG_POISON_VAL = 12;
/** Length of the whole structure in bytes. */
export const CONFIG_BYTES = 16;

/** Most page frame numbers in one request: as many as Linux and FreeBSD send. */
export const BATCH_PAGES = 256;

// Commands of free page hinting (5.5.6.5). A greater one begins a round, and is its name.

/** The device wants no more hints. */
export const CMD_ID_STOP = 0;
/** The device needs no more what it was told: the pages may be used. */
export const CMD_ID_DONE = 1;

// Statistics (5.5.6.3).

/** Length of one figure in bytes: a tag of 16 bits, and 64 bits right behind it. */
export const STAT_BYTES = 10;
