import { Status } from "../../core/class/mod.ts";
import { REPORT_LUNS_UNIT, type ScsiAddress } from "./address.ts";
import { inquiry, reportLuns } from "./cdb.ts";
import type { ScsiCommands } from "./commands.ts";
import { INQUIRY_BYTES, parseInquiry, type ScsiInquiry } from "./inquiry.ts";
import { MOST_UNITS, parseReportLuns, REPORT_LUNS_BYTES } from "./report_luns.ts";
import { ScsiResponse } from "./protocol.ts";
import { ScsiStatus } from "./status.ts";

/** A logical unit that a scan found. */
export interface ScsiUnit {
  /** Where it is. */
  readonly address: ScsiAddress;
  /** What it says that it is. */
  readonly inquiry: ScsiInquiry;
}

/** Looks for the units of all targets up to `maxTarget`; 256 units at most. */
export async function scanHost(commands: ScsiCommands, maxTarget: number): Promise<ScsiUnit[]> {
  const targets = Array.from({ length: maxTarget + 1 }, (_, target) => target);
  const found = await Promise.all(targets.map((target) => scanTarget(commands, target)));
  return found.flat().slice(0, MOST_UNITS);
}

/** Looks for the units of a target. */
export async function scanTarget(commands: ScsiCommands, target: number): Promise<ScsiUnit[]> {
  const luns = await listLuns(commands, target);
  const found = await Promise.all(luns.map((lun) => lookAt(commands, { target, lun })));
  return found.filter((unit) => unit !== undefined);
}

/**
 * The LUNs of a target: from LUN 0, which answers for its target even if it is not there, else from the well-known
 * logical unit. A target that does not list them may have LUN 0.
 */
async function listLuns(commands: ScsiCommands, target: number): Promise<readonly number[]> {
  for (const lun of [0, REPORT_LUNS_UNIT]) {
    const bytes = await ask(
      commands,
      { target, lun },
      reportLuns(REPORT_LUNS_BYTES),
      REPORT_LUNS_BYTES,
    );
    if (bytes === "absent") return [];
    if (bytes && bytes.length >= 8) return parseReportLuns(bytes);
  }
  return [0];
}

/** Looks at a unit; undefined if it is not there. */
export async function lookAt(
  commands: ScsiCommands,
  address: ScsiAddress,
): Promise<ScsiUnit | undefined> {
  const bytes = await ask(commands, address, inquiry(INQUIRY_BYTES), INQUIRY_BYTES);
  if (!bytes || bytes === "absent") return undefined;
  const said = parseInquiry(bytes);
  return said?.qualifier === 0 ? { address, inquiry: said } : undefined;
}

/** The answer of a unit; `"absent"` if there is none at all, undefined if it does not tell. */
async function ask(
  commands: ScsiCommands,
  address: ScsiAddress,
  cdb: Uint8Array,
  inBytes: number,
): Promise<Uint8Array | "absent" | undefined> {
  // Unit attentions do not touch these two commands (SPC-4, 5.14), but some units think so: once more then.
  for (let tries = 0; tries < 2; tries++) {
    const answer = await commands.execute(address, cdb, { inBytes, repeatable: true });
    if (answer.ended === Status.gone) return "absent";
    const { response, status, data } = answer;
    if (response === ScsiResponse.badTarget || response === ScsiResponse.incorrectLun) {
      return "absent";
    }
    if (answer.ended !== Status.ok) return undefined;
    if (status === ScsiStatus.good) return data;
  }
  return undefined;
}
