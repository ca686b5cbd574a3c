import type { ClientLane } from "../../core/class/mod.ts";
import { addressOfWord, type ScsiAddress } from "./address.ts";
import { ScsiEventWord } from "./protocol.ts";

/** Something that happened on the bus of a SCSI adapter. */
export type ScsiChange =
  /** A unit is there that was not. */
  | {
    readonly type: "added";
    /** The unit. */
    readonly address: ScsiAddress;
  }
  /** A unit is gone. */
  | {
    readonly type: "removed";
    /** The unit. */
    readonly address: ScsiAddress;
  }
  /** A unit was reset. */
  | {
    readonly type: "reset";
    /** The unit. */
    readonly address: ScsiAddress;
  }
  /** A unit's parameters are other ones; which, the additional sense code says. */
  | {
    readonly type: "changed";
    /** The unit. */
    readonly address: ScsiAddress;
    /** The additional sense code (SPC-4, 4.5.2). */
    readonly asc: number;
    /** Its qualifier. */
    readonly ascq: number;
  }
  /** Another medium may be in it. */
  | {
    readonly type: "medium";
    /** The unit. */
    readonly address: ScsiAddress;
  }
  /** A notification that was subscribed to; bits as in virtio 1.4, 5.6.6.2. */
  | {
    readonly type: "notified";
    /** The unit. */
    readonly address: ScsiAddress;
    /** A bit for each kind of notification. */
    readonly notifications: number;
  }
  /** Others were lost: anything may have happened. */
  | { readonly type: "missed" };

/** What a driver tells of one event, and whether others before it were lost. */
export interface RawEvent {
  /** Whether others were lost. */
  readonly missed: boolean;
  /** What it is: transport reset, notification, parameter change. */
  readonly event: number;
  /** The unit that it is about. */
  readonly address: ScsiAddress;
  /** Why. */
  readonly reason: number;
}

/** The events of virtio 1.4, 5.6.6.3. */
export const EventCode = {
  /** Nothing. */
  none: 0,
  /** A unit was reset, came or went. */
  transportReset: 1,
  /** A notification. */
  asyncNotify: 2,
  /** Parameters changed. */
  paramChange: 3,
} as const;

/** Reasons of a transport reset. */
export const ResetReason = {
  /** Reset, and still there. */
  hard: 0,
  /** Appeared. */
  rescan: 1,
  /** Gone. */
  removed: 2,
} as const;

const MISSED = 0x80000000;

/** Takes the record of an event apart, whose request has ended. */
export function parseEvent(lane: ClientLane, slot: number): RawEvent {
  const event = lane.word(slot, ScsiEventWord.event);
  return {
    missed: (event & MISSED) !== 0,
    event: (event & ~MISSED) >>> 0,
    address: addressOfWord(lane.word(slot, ScsiEventWord.address)),
    reason: lane.word(slot, ScsiEventWord.reason),
  };
}
