import { Status, within } from "../../core/class/mod.ts";
import { ScsiControl, ScsiResponse } from "./protocol.ts";
import type { TaskManagement } from "./task_management.ts";

/** A command that takes too long. */
export interface LateCommand {
  /** Its slot. */
  readonly slot: number;
  /** The unit that it is for, as a word. */
  readonly address: number;
  /** Whether it has ended meanwhile. */
  readonly over: boolean;
  /** Settles when it ends. */
  readonly ended: Promise<void>;
}

/** How long a command may take to end after a function that ends it, in milliseconds. */
const GRACE = 1000;

/** What a device says of a unit that is not there. */
const ABSENT: readonly number[] = [ScsiResponse.badTarget, ScsiResponse.incorrectLun];
/** From the mildest to the hardest. */
const STEPS = [ScsiControl.abortTask, ScsiControl.unitReset, ScsiControl.nexusReset] as const;

/**
 * Ends a command that takes too long, by harder and harder means, until one works: asks whether the unit still has it,
 * then ABORT TASK, LOGICAL UNIT RESET, I_T NEXUS RESET. If none does, or the device does not even answer these, the
 * core's deadline is over some time, and it resets the device.
 *
 * @param resetTarget Whether the last step may be taken: it ends the commands to other units, too.
 * @returns Whether the unit is there: of one that is not, nothing can be asked.
 */
export async function endLate(
  command: LateCommand,
  manager: Pick<TaskManagement, "request">,
  resetTarget: boolean,
): Promise<boolean> {
  const { slot, address } = command;
  const asked = await manager.request(ScsiControl.queryTask, address, slot);
  if (command.over || asked.ended !== Status.ok) return true;
  if (ABSENT.includes(asked.response)) return false;
  // A device that has lost it cannot abort it.
  const lost = asked.response === ScsiResponse.ok;
  for (const step of STEPS) {
    if (lost && step === ScsiControl.abortTask) continue;
    if (step === ScsiControl.nexusReset && !resetTarget) continue;
    const { ended } = await manager.request(step, address, slot);
    if (command.over || ended !== Status.ok) return true;
    await within(GRACE, command.ended);
    if (command.over) return true;
  }
  return true;
}
