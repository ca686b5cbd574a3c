/**
 * What a SCSI driver and its clients agree on: the lanes `requests`, `control` and `events`, the meaning of their
 * records, and the properties.
 *
 * A slot of `requests` is data, in both directions, and behind it a page of its own ({@linkcode ScsiTail}) for what
 * goes along with it. Where there is data in both directions, what comes in begins on the next page behind what goes
 * out ({@linkcode dataInOffset}).
 *
 * @module
 */

import { flag, type PropertyTypes, whole, Word } from "../../core/class/mod.ts";

/** The words of a request's record: a command for a logical unit. */
export const ScsiWord = {
  ...Word,
  /** Its unit: target in bits 0 to 7, LUN as SCSI writes it in bits 8 to 23, then {@linkcode ScsiAttribute}. */
  address: Word.first,
  /** Length of the CDB, which stands in the slot's tail. */
  cdbBytes: Word.first + 1,
  /** Bytes of data to the unit. */
  outBytes: Word.first + 2,
  /** Bytes of data from it. */
  inBytes: Word.first + 3,
  /** Bytes of protection information, in the slot's tail: to the unit in bits 0 to 15, from it above. */
  protection: Word.first + 4,
  /** Afterwards: response code in bits 0 to 7, SCSI status in bits 8 to 15, length of the sense data above. */
  outcome: Word.first,
  /** Afterwards: bytes that were not moved. */
  residual: Word.first + 1,
} as const;

/** In bits 24 to 31 of the word `address`: how a command stands among others. */
export const ScsiAttribute = {
  /** In any order. */
  simple: 0,
  /** After all that came before, before all that comes after. */
  ordered: 1,
  /** Before all others. */
  head: 2,
  /** During an auto contingent allegiance. */
  aca: 3,
  /** Added to one of these: it must not be done twice. */
  once: 128,
} as const;

/** What stands where in the last page of a slot of `requests`. No device writes there, but protection information. */
export const ScsiTail = {
  /** Its length. */
  bytes: 4096,
  /** Place of the CDB. */
  cdb: 0,
  /** Most bytes of one. */
  cdbBytes: 32,
  /** Place of the sense data, put there by the driver. */
  sense: 256,
  /** Most bytes of them. */
  senseBytes: 252,
  /** Place of protection information. */
  protection: 2048,
  /** Most bytes of it. */
  protectionBytes: 2048,
} as const;

/** Where data from the unit begins in a slot that has `outBytes` of data to it. */
export function dataInOffset(outBytes: number): number {
  return Math.ceil(outBytes / 4096) * 4096;
}

/** What the device says of a command or of a task management function (virtio 1.4, 5.6.6). */
export const ScsiResponse = {
  /** A command: the unit answered, see its status. A function: it is done, or what it asks for is not so. */
  ok: 0,
  /** The command needs more data than there was room for. */
  overrun: 1,
  /** A task management function ended the command. */
  aborted: 2,
  /** There is no such target. */
  badTarget: 3,
  /** A reset ended the command. */
  reset: 4,
  /** Try again. */
  busy: 5,
  /** The way to the target is broken. */
  transportFailure: 6,
  /** The target is broken. */
  targetFailure: 7,
  /** This way to the target is broken. */
  nexusFailure: 8,
  /** Something else is wrong. */
  failure: 9,
  /** A function: what it asks for is so. */
  functionSucceeded: 10,
  /** A function: the device does not know it. */
  functionRejected: 11,
  /** There is no such logical unit. */
  incorrectLun: 12,
} as const;

/** What a request of the lane `control` asks for. */
export const ScsiControl = {
  /** End one command. */
  abortTask: 0,
  /** End all of our commands to a unit. */
  abortTaskSet: 1,
  /** End the auto contingent allegiance of a unit. */
  clearAca: 2,
  /** End all commands to a unit. */
  clearTaskSet: 3,
  /** Reset a target. */
  nexusReset: 4,
  /** Reset a unit. */
  unitReset: 5,
  /** Whether the unit still has a command. */
  queryTask: 6,
  /** Whether the unit has any command. */
  queryTaskSet: 7,
  /** Which notifications a unit has. */
  queryNotifications: 8,
  /** Ask a unit for notifications. */
  subscribeNotifications: 9,
} as const;

/** The words of a record of `control`. */
export const ScsiControlWord = {
  ...Word,
  /** Its unit, as in {@linkcode ScsiWord}. */
  address: Word.first,
  /** For {@linkcode ScsiControl}`.abortTask` and `queryTask`: the command's slot in the lane `requests`. */
  task: Word.first + 1,
  /** The notifications that are asked for; afterwards, those that there are. */
  notifications: Word.first + 2,
  /** Afterwards: a {@linkcode ScsiResponse}. */
  response: Word.first,
} as const;

/** The words of a record of `events`, whose requests stand until something happens. */
export const ScsiEventWord = {
  ...Word,
  /** What: as in virtio 1.4, 5.6.6.3, with bit 31 set if others before it were lost. */
  event: Word.first,
  /** Its unit, as in {@linkcode ScsiWord}. */
  address: Word.first + 1,
  /** Why. */
  reason: Word.first + 2,
} as const;

/** What a SCSI driver tells about its device. */
export interface ScsiProperties {
  /** The greatest target. */
  readonly maxTarget: number;
  /** The greatest LUN. */
  readonly maxLun: number;
  /** Whether a command may have data in both directions. */
  readonly bidirectional: boolean;
  /** Whether commands may carry protection information. */
  readonly protection: boolean;
  /** Whether the device tells of units that come and go. */
  readonly hotplug: boolean;
  /** Whether a command that nothing else ends may cost a reset of its target. */
  readonly busReset: boolean;
}

/** What each of them may be. */
export const scsiProperties: PropertyTypes<ScsiProperties> = {
  maxTarget: whole(0, 255),
  maxLun: whole(0, 16383),
  bidirectional: flag,
  protection: flag,
  hotplug: flag,
  busReset: flag,
};
