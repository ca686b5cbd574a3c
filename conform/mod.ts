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
import type { Check } from "./check.ts";

export { type Check, Finding, type Verdict } from "./check.ts";
export { junit } from "./junit.ts";
export { type Result, runChecks, type RunOptions } from "./run.ts";

/** All checks, in the order in which they are run; those of misuse come last, and run where they are asked for. */
export const CHECKS: readonly Check[] = [
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
