/**
 * Puts devices to work, and reports everything that was looked at.
 *
 * @module
 */

import type { Finding } from "../../../core/class/mod.ts";
import { address, diskHolds, program, report, type Run } from "./job.ts";

/** A device by its name on the machine, and the disk behind it, if there is one. */
export type Target = readonly [name: string, disk?: string];

/** What `check` has to say of a device. */
interface Checked {
  readonly address: string;
  readonly outcome: string;
  readonly findings: readonly Finding[];
  readonly figures: Readonly<Record<string, string | number | boolean>>;
  readonly error: { readonly message: string } | null;
}

/** Reports what was found. What was written to a disk will be looked for in its image. */
export function reportFindings(
  [name, disk]: Target,
  { findings, figures }: Pick<Checked, "findings" | "figures">,
): void {
  for (const finding of findings) {
    report(`${name}: ${finding.name}`, finding.passed, finding.detail);
  }
  const { offset, length, sha256 } = figures;
  if (disk && sha256) diskHolds(disk, Number(offset), Number(length), String(sha256));
}

/**
 * Runs `check` for some devices.
 *
 * @param options More for the command line.
 * @param run How the program is run.
 */
export async function runCheck(
  targets: readonly Target[],
  options: readonly string[] = [],
  run: (...args: string[]) => Promise<Run> = program,
): Promise<void> {
  const addresses = targets.map(([name]) => address(name));
  const { code, stdout, stderr } = await run(
    "check",
    "--json",
    "--write",
    ...options,
    ...addresses,
  );
  const devices: readonly Checked[] = stdout === "" ? [] : JSON.parse(stdout).devices;
  for (const target of targets) {
    const [name] = target;
    const device = devices.find((each) => each.address === address(name));
    const detail = device?.error?.message ?? (device ? JSON.stringify(device.figures) : stderr);
    report(`${name}: check`, device?.outcome === "passed", detail);
    if (device) reportFindings(target, device);
  }
  const names = targets.map(([name]) => name).join(", ");
  report(`${names}: exit status of check`, code === 0, `${code} ${stderr}`);
}
