import { RequestError, Status } from "../../core/class/mod.ts";
import { ScsiResponse } from "./protocol.ts";
import { formatScsiAddress, type ScsiAddress } from "./address.ts";
import type { ScsiAnswer } from "./answer.ts";
import { type ScsiSense, senseText } from "./sense.ts";
import { scsiStatusText } from "./status.ts";

/** A command that a logical unit, or the way to it, did not carry out. */
export class ScsiError extends RequestError {
  /** The unit that it was for. */
  readonly address: ScsiAddress;
  /** What came back; undefined if the request did not get that far. */
  readonly answer: ScsiAnswer | undefined;

  /** Makes the error of `action`, for example `"Cannot read 4096 bytes at 0"`; `reason` if the answer is none. */
  constructor(
    action: string,
    address: ScsiAddress,
    status: number,
    answer?: ScsiAnswer,
    reason: string | undefined = answer && reasonOf(answer),
  ) {
    const what = `${action} of unit ${formatScsiAddress(address)}`;
    super(what, status, reason);
    this.address = address;
    this.answer = answer;
  }

  /** What the unit said. */
  get sense(): ScsiSense | undefined {
    return this.answer?.sense;
  }

  /** Whether that is because there is no such unit. */
  get isAbsent(): boolean {
    return this.answer !== undefined && ABSENT.includes(this.answer.response);
  }
}

/** What is said where no unit has the address. */
const ABSENT: readonly number[] = [ScsiResponse.badTarget, ScsiResponse.incorrectLun];

const RESPONSES: Readonly<Record<number, string>> = {
  [ScsiResponse.overrun]: "the command needs more data than there was room for",
  [ScsiResponse.aborted]: "it was aborted",
  [ScsiResponse.badTarget]: "there is no such unit",
  [ScsiResponse.reset]: "a reset ended it",
  [ScsiResponse.busy]: "the device is busy",
  [ScsiResponse.transportFailure]: "the way to the target is broken",
  [ScsiResponse.targetFailure]: "the target is broken",
  [ScsiResponse.nexusFailure]: "this way to the target is broken",
  [ScsiResponse.incorrectLun]: "there is no such unit",
};

function reasonOf({ response, status, sense, late, ended }: ScsiAnswer): string | undefined {
  if (late !== undefined) return `it did not end within ${late} ms, and was aborted`;
  if (ended !== Status.ok && ended !== Status.failed) return undefined;
  if (response !== ScsiResponse.ok) return RESPONSES[response] ?? "the device reported an error";
  return sense ? senseText(sense) : scsiStatusText(status);
}
