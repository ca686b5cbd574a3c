/**
 * What a SCSI host device and its driver say to each other: names, numbers and offsets of the specification
 * (virtio 1.4, 5.6), without the prefix `VIRTIO_SCSI_`. All fields are little-endian, unless SCSI itself defines them.
 *
 * @module
 */

/** Device id of the SCSI host device (5.6.1). */
export const DEVICE_ID = 8;

/** Index of the queue for task management and notifications (5.6.2). */
export const CONTROL_QUEUE = 0;
/** Index of the queue for events. */
export const EVENT_QUEUE = 1;
/** Index of the first request queue. */
export const REQUEST_QUEUE = 2;

// Feature bits (5.6.3), as masks.

/** A request may have data in both directions. */
export const F_INOUT = 1n << 0n;
/** The device tells of units that come and go. */
export const F_HOTPLUG = 1n << 1n;
/** The device tells of units whose parameters change. */
export const F_CHANGE = 1n << 2n;
/** Requests have room for protection information. */
export const F_T10_PI = 1n << 3n;

// Device configuration (5.6.4): offset of each field in bytes. Behind each, its width in bits.

/** Number of request queues (32). */
export const CONFIG_NUM_QUEUES = 0;
/** Most data segments in one request, in each direction (32). */
export const CONFIG_SEG_MAX = 4;
/** Best greatest transfer, in units of 512 bytes (32). */
export const CONFIG_MAX_SECTORS = 8;
/** Most requests to one unit at a time (32). */
export const CONFIG_CMD_PER_LUN = 12;
/** Bytes that an event may have (32). */
export const CONFIG_EVENT_INFO_SIZE = 16;
/** Room for sense data in a response (32), writable. */
export const CONFIG_SENSE_SIZE = 20;
/** Room for the CDB in a request (32), writable. */
export const CONFIG_CDB_SIZE = 24;
/** Greatest channel (16). */
export const CONFIG_MAX_CHANNEL = 28;
/** Greatest target (16). */
export const CONFIG_MAX_TARGET = 30;
/** Greatest LUN (32). */
export const CONFIG_MAX_LUN = 32;
/** Length of the whole structure in bytes. */
export const CONFIG_BYTES = 36;

/** Value of `sense_size` after a reset. */
export const SENSE_SIZE = 96;
/** Value of `cdb_size` after a reset. */
export const CDB_SIZE = 32;

/** Length of a LUN field: 1, target, LUN as SCSI writes it in two bytes, four zeroes (5.6.6.1). */
export const LUN_BYTES = 8;
/** First byte of a LUN field that has a target. */
export const LUN_TARGET = 1;

// A request (5.6.6.1): a header, protection information and data that the device reads; a response, protection
// information and data that it writes.

/** Offset of the LUN in the header. */
export const HEADER_LUN = 0;
/** Offset of the tag (64 bits). */
export const HEADER_ID = 8;
/** Offset of the task attribute (8 bits). */
export const HEADER_TASK_ATTR = 16;
/** Offset of the priority (8 bits). */
export const HEADER_PRIO = 17;
/** Offset of the command reference number (8 bits). */
export const HEADER_CRN = 18;
/** Offset of the CDB, which is `cdb_size` bytes long. */
export const HEADER_CDB = 19;
/** Behind the CDB, with {@linkcode F_T10_PI}: lengths of the protection information out and in (32 bits each). */
export const HEADER_PI_BYTES = 8;

/** Offset of the length of the sense data in the response (32 bits). */
export const RESPONSE_SENSE_LEN = 0;
/** Offset of the number of bytes that were not moved (32 bits). */
export const RESPONSE_RESIDUAL = 4;
/** Offset of the status qualifier (16 bits). */
export const RESPONSE_STATUS_QUALIFIER = 8;
/** Offset of the SCSI status (8 bits). */
export const RESPONSE_STATUS = 10;
/** Offset of the response code (8 bits). */
export const RESPONSE_RESPONSE = 11;
/** Offset of the sense data, which are `sense_size` bytes long. */
export const RESPONSE_SENSE = 12;

/** The unit answered; its status says how. */
export const S_OK = 0;
/** The command needs more data than there is room for. */
export const S_OVERRUN = 1;
/** Cancelled by a task management function. */
export const S_ABORTED = 2;
/** There is no such target. */
export const S_BAD_TARGET = 3;
/** Cancelled by a reset. */
export const S_RESET = 4;
/** Try again. */
export const S_BUSY = 5;
/** The way to the target is broken. */
export const S_TRANSPORT_FAILURE = 6;
/** The target is broken. */
export const S_TARGET_FAILURE = 7;
/** This way to the target is broken. */
export const S_NEXUS_FAILURE = 8;
/** Something else is wrong. */
export const S_FAILURE = 9;
/** A task management function found what it asked for. */
export const S_FUNCTION_SUCCEEDED = 10;
/** The device does not know this task management function. */
export const S_FUNCTION_REJECTED = 11;
/** There is no such logical unit. */
export const S_INCORRECT_LUN = 12;
/** The greatest of the codes that answer a request. */
export const S_LAST_OF_REQUESTS: number = S_FAILURE;

// Requests of the control queue (5.6.6.2).

/** Type of a task management function. */
export const T_TMF = 0;
/** Type of a question which notifications a unit has. */
export const T_AN_QUERY = 1;
/** Type of a subscription to notifications. */
export const T_AN_SUBSCRIBE = 2;

/** Ends one request. */
export const T_TMF_ABORT_TASK = 0;
/** Ends all requests of this initiator to a unit. */
export const T_TMF_ABORT_TASK_SET = 1;
/** Ends the auto contingent allegiance of a unit. */
export const T_TMF_CLEAR_ACA = 2;
/** Ends all requests to a unit. */
export const T_TMF_CLEAR_TASK_SET = 3;
/** Resets a target. */
export const T_TMF_I_T_NEXUS_RESET = 4;
/** Resets a unit. */
export const T_TMF_LOGICAL_UNIT_RESET = 5;
/** Asks whether a unit has a request. */
export const T_TMF_QUERY_TASK = 6;
/** Asks whether a unit has any request. */
export const T_TMF_QUERY_TASK_SET = 7;

/** Offset of the type (32 bits). */
export const CONTROL_TYPE = 0;
/** Offset of the function (32 bits) in a task management request. */
export const TMF_SUBTYPE = 4;
/** Offset of the LUN there. */
export const TMF_LUN = 8;
/** Offset of the tag there (64 bits). */
export const TMF_ID = 16;
/** Length of what the device reads there; it writes one byte, the response. */
export const TMF_BYTES = 24;
/** Offset of the LUN in a request about notifications. */
export const AN_LUN = 4;
/** Offset of the notifications asked for there (32 bits). */
export const AN_EVENT_REQUESTED = 12;
/** Length of what the device reads there. */
export const AN_BYTES = 16;
/** Offset in what it writes of the notifications that there are (32 bits). */
export const AN_EVENT_ACTUAL = 0;
/** Offset in what it writes of the response (8 bits). */
export const AN_RESPONSE = 4;
/** Length of what it writes. */
export const AN_ANSWER_BYTES = 5;

/** The notifications of MMC, as bits. */
export const EVT_ASYNC_OPERATIONAL_CHANGE = 2;
/** A medium came or went. */
export const EVT_ASYNC_MEDIA_CHANGE = 16;

// Events (5.6.6.3).

/** Bit of an event: others before it were lost. */
export const T_EVENTS_MISSED = 0x80000000;
/** Nothing happened. */
export const T_NO_EVENT = 0;
/** A unit was reset, came or went; the reason says which. */
export const T_TRANSPORT_RESET = 1;
/** A notification that was subscribed to. */
export const T_ASYNC_NOTIFY = 2;
/** A unit's parameters changed; the reason has the additional sense code. */
export const T_PARAM_CHANGE = 3;

/** Reset, and still there. */
export const EVT_RESET_HARD = 0;
/** A unit or target has appeared. */
export const EVT_RESET_RESCAN = 1;
/** A unit or target is gone. */
export const EVT_RESET_REMOVED = 2;

/** Offset of the event (32 bits). */
export const EVENT_EVENT = 0;
/** Offset of the LUN. */
export const EVENT_LUN = 4;
/** Offset of the reason (32 bits). */
export const EVENT_REASON = 12;
/** Length of an event in bytes. */
export const EVENT_BYTES = 16;
