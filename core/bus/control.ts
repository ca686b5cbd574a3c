// The map of control memory, which the core and one driver host share.

import { PAGE } from "../dma/address_table.ts";
import { mailboxBytes } from "./mailbox.ts";

/**
 * The memory that the core and one driver host share for control: bells, counters, mailboxes, lanes. No device ever
 * reaches it. Offsets are in bytes unless the name says words.
 */
export const CONTROL_BYTES = 1 << 20;

/** Where each shared word is, in units of 32 bits, each on a cache line of its own. */
export const ControlWord = {
  /** The bell that the core rings and the driver host owns. */
  driverBell: 0,
  /** The bell that the driver host rings and the core owns. */
  coreBell: 16,
  /** Signs of life that the core's watchdog asked for. */
  beatAsked: 32,
  /** The last of them that the driver host answered. */
  beatAnswered: 48,
  /** Doorbells that the driver host rang where answers must be taken. */
  doorbellsRung: 64,
  /** How many of them the core knows to be answered. */
  doorbellsAnswered: 80,
  /** Register accesses that the driver's process asked for; behind it stands the latest: see `register_call.ts`. */
  registerAsked: 96,
  /** How many of them the core has made; behind it stands what was read. */
  registerAnswered: 112,
  /** Which of the {@linkcode DOORBELLS} were written: a bit for each. */
  doorbellsWritten: 128,
} as const;

/** The first sign of life, which a driver's process gives unasked. */
export const FIRST_BEAT = 1;

/** Bytes of messages that fit in each direction. */
export const MAILBOX_CAPACITY = 128 * 1024;
/** Mailbox from the core to the driver host. */
export const TO_DRIVER = 4096;
/** Mailbox from the driver host to the core. */
export const TO_CORE = TO_DRIVER + Math.ceil(mailboxBytes(MAILBOX_CAPACITY) / 4096) * 4096;
/** The latest value of each doorbell that the core writes for the driver's process: a page of 32-bit words. */
export const DOORBELLS = TO_CORE + Math.ceil(mailboxBytes(MAILBOX_CAPACITY) / 4096) * 4096;
/** First byte that lanes may use. */
export const LANES = DOORBELLS + PAGE;
/**
 * Where the page frames of the arena stand, if the driver wants to know them: 32 bits for each page, which would be too
 * much for a message.
 */
export const FRAMES: number = CONTROL_BYTES;

/** What shared memory is made of. */
const GRANULE = 65536;

/** Bytes of control memory beside an arena of so many bytes. */
export function controlBytes(arena: number): number {
  return FRAMES + Math.ceil(arena / PAGE * 4 / GRANULE) * GRANULE;
}
