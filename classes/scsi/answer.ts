import { type ClientLane, Status } from "../../core/class/mod.ts";
import * as protocol from "./protocol.ts";
import { parseSense, type ScsiSense } from "./sense.ts";
import { ScsiStatus } from "./status.ts";

const { ScsiResponse, ScsiTail, ScsiWord } = protocol;

/** What is said of a command that has ended. */
export interface ScsiOutcome {
  /** How the request ended: a `Status`. The rest means something if that is `ok` or `failed`. */
  readonly ended: number;
  /** What the device says: a `ScsiResponse`. */
  readonly response: number;
  /** What the unit says: a `ScsiStatus`; of use if the response is `ok`. */
  readonly status: number;
  /** Why, in its bytes; none if empty. */
  readonly senseBytes: Uint8Array<ArrayBuffer>;
  /** Why, if that can be understood. */
  readonly sense?: ScsiSense;
  /** The time in milliseconds that was over when it was aborted for that; undefined if it was not. */
  readonly late?: number;
}

/** How a command ended. */
export interface ScsiAnswer extends ScsiOutcome {
  /** Data from the unit, as many as came. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Protection information from the unit. */
  readonly protection: Uint8Array<ArrayBuffer>;
  /** Bytes that were not moved. */
  readonly residual: number;
}

/** No bytes. */
export const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/**
 * What driver and device left in a slot of the lane `requests` about its command.
 *
 * @param late The time that was over when it was aborted for that.
 */
export function readOutcome(
  lane: ClientLane,
  slot: number,
  ended: number,
  late: number | undefined,
): ScsiOutcome {
  const heard = ended === Status.ok || ended === Status.failed;
  const word = heard ? lane.word(slot, ScsiWord.outcome) : 0;
  const length = Math.min(word >>> 16, ScsiTail.senseBytes);
  const at = lane.slotBytes - ScsiTail.bytes + ScsiTail.sense;
  const senseBytes = length > 0 ? lane.data(slot).slice(at, at + length) : NOTHING;
  const status = word >>> 8 & 0xff;
  const sense = status === ScsiStatus.checkCondition ? parseSense(senseBytes) : undefined;
  return {
    ended,
    response: heard ? word & 0xff : ScsiResponse.failure,
    status,
    senseBytes,
    ...(sense && { sense }),
    ...(late !== undefined && { late }),
  };
}
