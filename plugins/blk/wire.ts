/**
 * What a block device and its driver say to each other: names, numbers and offsets of the specification
 * (virtio 1.4, 5.2), without the prefix `VIRTIO_BLK_`. All fields are little-endian.
 *
 * @module
 */

/** Device id of the block device (5.2.1). */
export const DEVICE_ID = 2;

/** Bytes of a sector: the unit of all positions and capacities, whatever `blk_size` says (5.2.5). */
export const SECTOR_BYTES = 512;

// Feature bits (5.2.3), as masks.

/** `size_max` limits the length of one segment. */
export const F_SIZE_MAX = 1n << 1n;
/** `seg_max` limits the number of data segments in a request. */
export const F_SEG_MAX = 1n << 2n;
/** `geometry` is there. */
export const F_GEOMETRY = 1n << 4n;
/** The device is read-only. */
export const F_RO = 1n << 5n;
/** `blk_size` is there. */
export const F_BLK_SIZE = 1n << 6n;
/** The device knows {@linkcode T_FLUSH}. */
export const F_FLUSH = 1n << 9n;
/** `topology` is there. */
export const F_TOPOLOGY = 1n << 10n;
/** The driver may switch the cache by `writeback`; only with {@linkcode F_FLUSH}. */
export const F_CONFIG_WCE = 1n << 11n;
/** There are `num_queues` request queues. */
export const F_MQ = 1n << 12n;
/** The device knows {@linkcode T_DISCARD}. */
export const F_DISCARD = 1n << 13n;
/** The device knows {@linkcode T_WRITE_ZEROES}. */
export const F_WRITE_ZEROES = 1n << 14n;
/** The device knows {@linkcode T_GET_LIFETIME}. */
export const F_LIFETIME = 1n << 15n;
/** The device knows {@linkcode T_SECURE_ERASE}. */
export const F_SECURE_ERASE = 1n << 16n;
/** The device follows the zoned model in `zoned`. */
export const F_ZONED = 1n << 17n;

// Device configuration (5.2.4): offset of each field in bytes. Behind each, its width in bits.

/** Number of sectors (64). */
export const CONFIG_CAPACITY = 0;
/** Most bytes in one data segment (32); with {@linkcode F_SIZE_MAX}. */
export const CONFIG_SIZE_MAX = 8;
/** Most data segments in one request (32); with {@linkcode F_SEG_MAX}. */
export const CONFIG_SEG_MAX = 12;
/** `geometry`: cylinders (16), heads (8), sectors (8); with {@linkcode F_GEOMETRY}. */
export const CONFIG_GEOMETRY = 16;
/** Best block size in bytes (32); with {@linkcode F_BLK_SIZE}. */
export const CONFIG_BLK_SIZE = 20;
/** Blocks in a physical block, as an exponent of two (8); with {@linkcode F_TOPOLOGY}, as the next three. */
export const CONFIG_PHYSICAL_BLOCK_EXP = 24;
/** First aligned block (8). */
export const CONFIG_ALIGNMENT_OFFSET = 25;
/** Smallest advisable transfer in blocks (16). */
export const CONFIG_MIN_IO_SIZE = 26;
/** Best transfer in blocks (32). */
export const CONFIG_OPT_IO_SIZE = 28;
/** 1 = write-back, 0 = write-through (8), writable; with {@linkcode F_CONFIG_WCE}. */
export const CONFIG_WRITEBACK = 32;
/** Number of request queues (16); with {@linkcode F_MQ}. */
export const CONFIG_NUM_QUEUES = 34;
/** Most sectors in one segment of a discard (32); with {@linkcode F_DISCARD}, as the next two. */
export const CONFIG_MAX_DISCARD_SECTORS = 36;
/** Most segments in one discard (32). */
export const CONFIG_MAX_DISCARD_SEG = 40;
/** Sectors by which discards are best aligned (32). */
export const CONFIG_DISCARD_SECTOR_ALIGNMENT = 44;
/** Most sectors in one segment of a write-zeroes (32); with {@linkcode F_WRITE_ZEROES}, as the next two. */
export const CONFIG_MAX_WRITE_ZEROES_SECTORS = 48;
/** Most segments in one write-zeroes (32). */
export const CONFIG_MAX_WRITE_ZEROES_SEG = 52;
/** 1 if {@linkcode UNMAP} can free storage (8). */
export const CONFIG_WRITE_ZEROES_MAY_UNMAP = 56;
/** Most sectors in one segment of a secure erase (32); with {@linkcode F_SECURE_ERASE}, as the next two. */
export const CONFIG_MAX_SECURE_ERASE_SECTORS = 60;
/** Most segments in one secure erase (32). */
export const CONFIG_MAX_SECURE_ERASE_SEG = 64;
/** Sectors by which secure erases must be aligned (32). */
export const CONFIG_SECURE_ERASE_SECTOR_ALIGNMENT = 68;
// `zoned`, with {@linkcode F_ZONED}; behind it 3 bytes of padding.

/** Sectors of a zone (32). */
export const CONFIG_ZONE_SECTORS = 72;
/** Most zones that may be open at a time (32); 0 for any number. */
export const CONFIG_MAX_OPEN_ZONES = 76;
/** Most zones that may be open or closed at a time (32); 0 for any number. */
export const CONFIG_MAX_ACTIVE_ZONES = 80;
/** Most sectors in one append (32). */
export const CONFIG_MAX_APPEND_SECTORS = 84;
/** Bytes that writes to sequential zones are multiples of (32). */
export const CONFIG_WRITE_GRANULARITY = 88;
/** Which model of zones, one of those below (8). */
export const CONFIG_ZONE_MODEL = 92;
/** Length of the whole structure in bytes. */
export const CONFIG_BYTES = 96;

/** No zones: a disk as any other. */
export const ZONED_NONE = 0;
/** Host-managed: sequential zones take writes at their write pointers only. */
export const ZONED_HM = 1;
/** Host-aware: they had better be written so. */
export const ZONED_HA = 2;

// A request (5.2.6) is a header that the device reads, then data, then one byte of status that it writes.

/** Length of the header in bytes. */
export const HEADER_BYTES = 16;
/** Offset of the request's type in the header (32 bits). */
export const HEADER_TYPE = 0;
/** Offset of the first sector (64 bits); 0 where the type has no position. */
export const HEADER_SECTOR = 8;
/** Length of the status in bytes. */
export const STATUS_BYTES = 1;

/** Read sectors. */
export const T_IN = 0;
/** Write sectors. */
export const T_OUT = 1;
/** Make all completed writes stable. No data. */
export const T_FLUSH = 4;
/** Get the device's name: {@linkcode ID_BYTES} of ASCII, padded with NUL. */
export const T_GET_ID = 8;
/** Get the wear of the storage: three fields of 16 bits. */
export const T_GET_LIFETIME = 10;
/** The contents of the {@linkcode SEGMENT_BYTES | segments} in the data are not needed any more. */
export const T_DISCARD = 11;
/** Make the segments in the data read as zeroes. */
export const T_WRITE_ZEROES = 13;
/** Erase the segments in the data beyond recovery. */
export const T_SECURE_ERASE = 14;
/** Write at the write pointer of the zone that begins at the sector; where that was, stands before the status. */
export const T_ZONE_APPEND = 15;
/** Get {@linkcode REPORT_BYTES} and zones of {@linkcode ZONE_BYTES} from that of the sector on. */
export const T_ZONE_REPORT = 16;
/** Open the zone that begins at the sector. */
export const T_ZONE_OPEN = 18;
/** Close it. */
export const T_ZONE_CLOSE = 20;
/** Move its write pointer to its end. */
export const T_ZONE_FINISH = 22;
/** Move its write pointer to its beginning: what it holds is lost. */
export const T_ZONE_RESET = 24;
/** Do that to all zones. */
export const T_ZONE_RESET_ALL = 26;

/** Length of the data of {@linkcode T_GET_ID}. */
export const ID_BYTES = 20;
/** Length of the data of {@linkcode T_GET_LIFETIME}: state before the end of life, estimates for types A and B (16 each). */
export const LIFETIME_BYTES = 6;
/** Length of the sector before the status of a {@linkcode T_ZONE_APPEND}. */
export const APPEND_BYTES = 8;

/** Length of the head of a report: the number of zones behind it (64), and nothing. */
export const REPORT_BYTES = 64;
/** Length of a zone in a report. */
export const ZONE_BYTES = 64;
/** Offset of a zone's sectors that can be written (64). */
export const ZONE_CAPACITY = 0;
/** Offset of its first sector (64). */
export const ZONE_START = 8;
/** Offset of its write pointer (64). */
export const ZONE_POINTER = 16;
/** Offset of its type (8): 1 conventional, 2 sequential write required, 3 preferred. */
export const ZONE_TYPE = 24;
/** Offset of its state (8). */
export const ZONE_STATE = 25;

/** A zone's type: written as any disk. */
export const ZONE_CONVENTIONAL = 1;
/** A zone's type: written at its write pointer only. */
export const ZONE_SEQUENTIAL = 2;
/** A zone's type: preferably written there. */
export const ZONE_PREFERRED = 3;

/** A zone's state: it has no write pointer. */
export const ZONE_NO_POINTER = 0;
/** Nothing was written since it was reset. */
export const ZONE_EMPTY = 1;
/** Opened by a write. */
export const ZONE_IMPLICITLY_OPEN = 2;
/** Opened by {@linkcode T_ZONE_OPEN}. */
export const ZONE_EXPLICITLY_OPEN = 3;
/** Closed, and neither empty nor full. */
export const ZONE_CLOSED = 4;
/** It can only be read. */
export const ZONE_READ_ONLY = 13;
/** Written to its end. */
export const ZONE_FULL = 14;
/** It cannot even be read. */
export const ZONE_OFFLINE = 15;

/** Length of one segment in the data of {@linkcode T_DISCARD} and its like. */
export const SEGMENT_BYTES = 16;
/** Offset of the first sector in a segment (64 bits). */
export const SEGMENT_SECTOR = 0;
/** Offset of the number of sectors in a segment (32 bits). */
export const SEGMENT_NUM_SECTORS = 8;
/** Offset of the flags in a segment (32 bits). */
export const SEGMENT_FLAGS = 12;
/** Flag of a {@linkcode T_WRITE_ZEROES} segment: the storage may be freed. All other bits are 0. */
export const UNMAP = 1;

/** Done. */
export const S_OK = 0;
/** The device or the driver made an error. */
export const S_IOERR = 1;
/** The device does not know this request. */
export const S_UNSUPP = 2;
/** The zone cannot be in the state that this would bring it into. */
export const S_ZONE_INVALID_CMD = 3;
/** The write does not begin at the zone's write pointer. */
export const S_ZONE_UNALIGNED_WP = 4;
/** No more zones may be open. */
export const S_ZONE_OPEN_RESOURCE = 5;
/** No more zones may be active. */
export const S_ZONE_ACTIVE_RESOURCE = 6;
