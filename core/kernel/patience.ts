// How long the kernel waits.

import type { DevicePatience } from "../binding/binding.ts";
import { QUEUE_RESET_DEADLINE, RESET_DEADLINE } from "../virtio/transport.ts";

/**
 * How long the kernel waits for devices and drivers, in milliseconds. What is waited for is always the same; tests
 * hand in less where they know that nothing will come.
 */
export interface Patience extends DevicePatience {
  /**
   * For drivers that live, by what their watchdog sees, and do not answer all the same. Those that hang are found before,
   * and fairly; so these may be generous to a driver on a slow or busy machine.
   */
  readonly hello: number;
  /** Likewise, for its answers. */
  readonly answer: number;
  /** What may fail without harm is not waited for that long: a report. */
  readonly report: number;
  /** Likewise, the last word of a driver. */
  readonly stop: number;
  /** What a client does before its device is given back may take so long: a balloon is emptied. */
  readonly close: number;
  /** How often is looked whether requests end in time. */
  readonly progress: number;
  /** The most that a request may take of those that may not take for ever, whatever its lane says. */
  readonly request: number;
  /** How often a watchdog looks. */
  readonly look: number;
  /** How often a driver has to give a sign of life. */
  readonly beat: number;
  /** How much of its own time it has for it. */
  readonly life: number;
  /** How much Deno has to start, before there is anything of the driver in the process. */
  readonly start: number;
}

/** That of every kernel but those of tests. */
export const PATIENCE: Patience = {
  reset: RESET_DEADLINE,
  queueReset: QUEUE_RESET_DEADLINE,
  emptied: 30_000,
  hello: 120_000,
  answer: 30_000,
  report: 5_000,
  stop: 1_000,
  close: 10_000,
  progress: 250,
  request: Infinity,
  look: 250,
  beat: 1_000,
  life: 4_000,
  start: 30_000,
};
