/**
 * Puts devices to work by the program's own `check`, and reports everything that it looked at.
 *
 * @module
 */

import { address, diskHolds, program, report, type Run } from "./job.ts";

interface Checked {
  readonly address: string;
  readonly outcome: string;
  readonly findings: readonly { name: string; passed: boolean; detail: string }[];
  readonly figures: Readonly<Record<string, string | number | boolean>>;
  readonly error: { readonly message: string } | null;
}

/** A device by its name on the machine, and the disk behind it, if there is one. */
export type Target = readonly [name: string, disk?: string];

/**
 * Runs `check` for these devices, and reports each finding. What was written to disks will be looked for in their images.
 *
 * @param options More for the command line.
 * @param run How the program is run.
 */
export async function drive(
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
  for (const [name, disk] of targets) {
    const device = devices.find((each) => each.address === address(name));
    const detail = device?.error?.message ?? (device ? JSON.stringify(device.figures) : stderr);
    report(`${name}: check`, device?.outcome === "passed", detail);
    for (const finding of device?.findings ?? []) {
      report(`${name}: ${finding.name}`, finding.passed, finding.detail);
    }
    const { offset, length, sha256 } = device?.figures ?? {};
    if (disk && sha256) diskHolds(disk, Number(offset), Number(length), String(sha256));
  }
  report("check: exit status", code === 0, `${code} ${stderr}`);
}
