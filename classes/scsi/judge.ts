import { Status } from "../../core/class/mod.ts";
import type { ScsiOutcome } from "./answer.ts";
import { ScsiResponse } from "./protocol.ts";
import { type ScsiSense, SenseKey } from "./sense.ts";
import { ScsiStatus } from "./status.ts";

/** How often a command is tried that something came in the way of. */
export const TRIES = 8;

/** What is to be done after an answer. */
export type Verdict = "done" | "failed" | "again" | "later";

/** Says what is to be done after an answer; `repeatable` if doing a command twice does no harm. */
export function judge(answer: ScsiOutcome, repeatable: boolean): Verdict {
  const { ended, response, status, sense, late } = answer;
  if (ended === Status.failed) {
    if (response === ScsiResponse.busy) return "later";
    const reset = response === ScsiResponse.reset || response === ScsiResponse.aborted;
    return reset && repeatable && late === undefined ? "again" : "failed";
  }
  if (ended !== Status.ok || response !== ScsiResponse.ok) return "failed";
  switch (status) {
    case ScsiStatus.good:
    case ScsiStatus.conditionMet:
      return "done";
    case ScsiStatus.busy:
    case ScsiStatus.taskSetFull:
      return "later";
    case ScsiStatus.checkCondition:
      return judgeSense(sense, repeatable);
    default:
      return "failed";
  }
}

function judgeSense(sense: ScsiSense | undefined, repeatable: boolean): Verdict {
  // A deferred error is about an earlier command; this one was not carried out (SPC-4, 4.5.8).
  if (sense?.deferred) return "failed";
  switch (sense?.key) {
    case SenseKey.none:
    case SenseKey.recovered:
      return "done";
    case SenseKey.unitAttention:
      return "again";
    case SenseKey.aborted:
      return repeatable ? "again" : "failed";
    case SenseKey.notReady:
      return sense!.asc === 0x04 && sense!.ascq === 0x01 ? "later" : "failed";
    default:
      return "failed";
  }
}

/** A status for the error of a command that the unit refused. */
export function errorStatus({ ended, sense }: ScsiOutcome): number {
  if (ended !== Status.ok) return ended;
  const unknown = sense?.key === SenseKey.illegalRequest && sense.asc === 0x20;
  return unknown ? Status.unsupported : Status.failed;
}
