/**
 * Whether a VirtIO device does what the specification says: our drivers' side as an instrument for authors of devices.
 *
 * @module
 */

import { BALLOON_CHECKS } from "./checks/balloon.ts";
import { BLOCK_CHECKS } from "./checks/block.ts";
import { CONSOLE_CHECKS } from "./checks/console.ts";
import { ENTROPY_CHECKS } from "./checks/entropy.ts";
import { NETWORK_CHECKS } from "./checks/network.ts";
import { SCSI_CHECKS } from "./checks/scsi.ts";
import { CONFIGURATION } from "./checks/configuration.ts";
import { DISCOVERY } from "./checks/discovery.ts";
import { FEATURES } from "./checks/features.ts";
import { INTERRUPTS } from "./checks/interrupts.ts";
import { MISUSE } from "./checks/misuse.ts";
import { PACKED } from "./checks/packed.ts";
import { QUEUES } from "./checks/queues.ts";
import { RESET } from "./checks/reset.ts";
import { RINGS } from "./checks/rings.ts";
import { STATUS } from "./checks/status.ts";
import type { FunctionFacts } from "../core/pci/function.ts";
import type { Check, Rule } from "./check.ts";
import { type Result, runChecks, type RunOptions } from "./run.ts";

export type { Rule, Verdict } from "./check.ts";
export { junit, type JunitCase, type JunitSuite, junitSuite } from "./junit.ts";
export type { Result, RunOptions } from "./run.ts";
export type { FunctionFacts } from "../core/pci/function.ts";
export type { Registers } from "../core/pci/registers.ts";

const ALL: readonly Check[] = [
  ...DISCOVERY,
  ...STATUS,
  ...FEATURES,
  ...CONFIGURATION,
  ...QUEUES,
  ...RESET,
  ...RINGS,
  ...PACKED,
  ...INTERRUPTS,
  ...NETWORK_CHECKS,
  ...BLOCK_CHECKS,
  ...CONSOLE_CHECKS,
  ...ENTROPY_CHECKS,
  ...BALLOON_CHECKS,
  ...SCSI_CHECKS,
  ...MISUSE,
];

/** All checks, in the order in which they are run; those of misuse come last, and run where they are asked for. */
export const CHECKS: readonly Rule[] = ALL;

/**
 * Checks a device. It is taken for that, reset before each check and given back at the end: no driver may have it.
 *
 * @example
 * ```ts
 * import { openKernel } from "@virtio/deno";
 * import { checkDevice, CHECKS } from "@virtio/deno/conform";
 *
 * await using kernel = await openKernel({ machine: "simulated" });
 * const { function: fn, identity } = kernel.nodes[0]!;
 * const checks = CHECKS.filter(({ misuse }) => !misuse);
 * for (const { check, verdict } of await checkDevice(fn, checks, { type: identity.virtio!.type })) {
 *   console.log(check.name, verdict);
 * }
 * ```
 *
 * @param fn The function, from the nodes of a kernel.
 * @param checks Some of {@linkcode CHECKS}.
 * @returns One result for each check, in their order.
 * @throws If the function cannot be taken.
 */
export async function checkDevice(
  fn: FunctionFacts,
  checks: readonly Rule[],
  options: RunOptions,
): Promise<readonly Result[]> {
  const names = new Set(checks.map(({ name }) => name));
  return await runChecks(fn, ALL.filter(({ name }) => names.has(name)), options);
}
