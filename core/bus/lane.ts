/**
 * A lane carries requests between an application and a driver: a pair of rings of slot numbers in shared memory,
 * `submit` towards the driver and `complete` back, each with one writer and one reader. A slot is a record of a few
 * words and a stretch of the arena for data.
 *
 * A slot is in at most one ring at a time, so a ring with room for all slots never overflows, and neither side needs
 * to know how far the other has read.
 */
export interface LaneLayout {
  /** Its name in the plan. */
  readonly name: string;
  /** Number of slots. */
  readonly slots: number;
  /** Bytes of data in each. */
  readonly slotBytes: number;
  /** First byte of rings and records, in control memory. */
  readonly control: number;
  /** First byte of the data, in the arena. */
  readonly data: number;
}

/** The most slots of one lane. */
export const MOST_SLOTS = 4096;

/** Words of a record. */
export const RECORD_WORDS = 8;

/** What stands in which word of a record. The class of the device gives the rest a meaning. */
export const Word = {
  /** What to do; the class says. Written by the client. */
  operation: 0,
  /** How it went: a {@linkcode Status}. Written by the driver. */
  status: 1,
  /** Bytes to move, or bytes moved. */
  length: 2,
  /** Words for the class. */
  first: 3,
} as const;

/** How a request ended. Of `gone`, and mostly of `unknown`, the core tells: a driver that does is at fault. */
export const Status = {
  /** Done. */
  ok: 0,
  /** The device reported an error. */
  failed: 1,
  /** The device does not know this operation. */
  unsupported: 2,
  /** The device's answer broke a rule; nothing in it is to be believed. */
  invalid: 3,
  /** The driver or the device is gone; whether the request was done is not known. */
  gone: 4,
  /** The device was started anew; whether the request was done is not known, and it must not be done twice. */
  unknown: 5,
  /** The driver did not pass it on: it does not fit the device as it is now. */
  refused: 6,
} as const;

/** Place of a lane's parts, in 32-bit words of control memory. */
export interface LanePlaces {
  /** Requests submitted so far. */
  readonly submitted: number;
  /** Their slots. */
  readonly submit: number;
  /** Requests completed so far. */
  readonly completed: number;
  /** Their slots. */
  readonly complete: number;
  /** Entries of each ring minus one. */
  readonly mask: number;
  /** First record. */
  readonly records: number;
  /** First word behind. */
  readonly end: number;
}

/** Where the parts of a lane are that has `slots` slots and begins at byte `control`. */
export function lanePlaces(control: number, slots: number): LanePlaces {
  const start = control / 4;
  let entries = 1;
  while (entries < slots) entries *= 2;
  const submit = start + 32;
  const complete = submit + entries;
  const records = Math.ceil((complete + entries) / 16) * 16;
  return {
    submitted: start,
    submit,
    completed: start + 16,
    complete,
    mask: entries - 1,
    records,
    end: records + RECORD_WORDS * slots,
  };
}
