// How the clock of this process stands to the clock of the machine.

import { libc } from "./libc.ts";
import { check } from "./os_error.ts";

const CLOCK_MONOTONIC = 1;
/** The best of so many comparisons counts. */
const TRIES = 16;

/** How the clock of this process stands to the machine's. */
export interface Clock {
  /** Milliseconds to add to `performance.now()`. */
  readonly offset: number;
  /** How many milliseconds that may be wrong by. */
  readonly uncertainty: number;
}

/**
 * Compares the clock of this process with the machine's monotonic one, which is the same for all processes: each
 * process counts from its own start.
 *
 * Safety: struct timespec is two 64-bit words on every 64-bit Linux.
 */
export function monotonicClock(): Clock {
  const time = new BigInt64Array(2);
  let best: Clock = { offset: 0, uncertainty: Infinity };
  for (let i = 0; i < TRIES; i++) {
    const before = performance.now();
    check(libc().clock_gettime(CLOCK_MONOTONIC, time), "Cannot read the clock");
    const after = performance.now();
    const uncertainty = (after - before) / 2;
    if (uncertainty >= best.uncertainty) continue;
    const now = Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
    best = { offset: now - before - uncertainty, uncertainty };
  }
  return best;
}
