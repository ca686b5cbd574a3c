import { parseScsiAddress, type ScsiAddress } from "../classes/scsi/mod.ts";
import type { CommandOption, Context } from "./command.ts";
import { messageOf, usageError } from "./exit.ts";

/** The option of commands that work with one logical unit of a SCSI adapter. */
export const LUN_OPTION: CommandOption = {
  name: "lun",
  value: "<target:lun>",
  summary: "the logical unit of a SCSI adapter; 0:0 if left out",
};

/** The logical unit that the user named by {@linkcode LUN_OPTION}. */
export function lunOf({ given: { lun } }: Pick<Context, "given">): ScsiAddress {
  return readLun(typeof lun === "string" ? lun : "0:0");
}

/**
 * The logical unit of that address.
 *
 * @throws {CliError} With status 2 if it is none.
 */
export function readLun(text: string): ScsiAddress {
  try {
    return parseScsiAddress(text);
  } catch (error) {
    throw usageError(messageOf(error));
  }
}
