/**
 * Numbers of the NBD protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md), by their names
 * there without `NBD_`. All numbers on the wire are big-endian.
 *
 * @module
 */

/** "NBDMAGIC": the first eight bytes that a server sends. */
export const INIT_MAGIC = 0x4e42444d41474943n;
/** "IHAVEOPT": before flags and options. */
export const OPTS_MAGIC = 0x49484156454f5054n;
/** Before each answer to an option. */
export const REP_MAGIC = 0x0003e889045565a9n;
/** Before each request. */
export const REQUEST_MAGIC = 0x25609513;
/** Before each simple reply. */
export const SIMPLE_REPLY_MAGIC = 0x67446698;
/** Before each chunk of a structured reply. */
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags, of both sides. */
export const Handshake = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** Options of a client. */
export const Opt = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

/** Answers to an option. */
export const Rep = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_UNKNOWN: 0x80000006,
  ERR_TOO_BIG: 0x80000009,
} as const;

/** What a server tells of an export. */
export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** What an export can do. */
export const Transmission = {
  HAS_FLAGS: 1,
  READ_ONLY: 2,
  SEND_FLUSH: 4,
  SEND_FUA: 8,
  SEND_TRIM: 32,
  SEND_WRITE_ZEROES: 64,
  SEND_DF: 128,
  CAN_MULTI_CONN: 256,
  SEND_CACHE: 1024,
  SEND_FAST_ZERO: 2048,
} as const;

/** Commands of a client. */
export const Cmd = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

/** Flags of a command. */
export const CmdFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

/** Types of the chunks of a structured reply. */
export const Chunk = { NONE: 0, OFFSET_DATA: 1, BLOCK_STATUS: 5, ERROR: 0x8001 } as const;

/** The flag of a reply's last chunk. */
export const DONE = 1;

/** Errors. */
export const Errno = { EPERM: 1, EIO: 5, EINVAL: 22, ENOSPC: 28 } as const;

/** The metadata context that says what is allocated. */
export const BASE_ALLOCATION = "base:allocation";
/** Its number with us. */
export const BASE_ALLOCATION_ID = 1;

/** Bytes of a request without data. */
export const REQUEST_BYTES = 28;
/** Bytes of a simple reply without data. */
export const SIMPLE_REPLY_BYTES = 16;
/** Bytes of a chunk without what it carries. */
export const CHUNK_BYTES = 20;
