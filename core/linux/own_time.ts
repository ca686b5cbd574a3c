// The time that a process spent of its own.

import { isWorking, processorTime } from "./process.ts";

/** A part of the time that counts in any case, so that a process that dodges is patiently waited for, not for ever. */
const LEAST_SHARE = 1 / 20;
/** A process that had so much of a processor was not kept from working. */
const WHOLE_SHARE = 0.9;

/** How the time of a process went. */
export interface Spent {
  /** Its own time, in milliseconds. */
  own: number;
  /** How much of that it used a processor. */
  worked: number;
}

/**
 * Measures patience with another process in that process's own time, so that it is fair on a machine of any speed and
 * load, and no wait is for ever all the same:
 *
 * - While it uses a processor, what it uses counts: one that loops is found after so much processor time, and one that
 *   shares the processor with many gets as much of it as one that is alone.
 * - While it sleeps, or was stopped, time counts as it passes: to sleep is its own choice, and it can be woken at any
 *   moment. Whether it sleeps is asked of all of its threads: while its main thread waits, another may load or compile.
 * - While one of its threads waits for a processor or a disk, the machine is to blame, and a small share counts only. It
 *   counts for the sake of a process that takes care to be seen at work and does next to nothing.
 *
 * A look that comes late counts as one in time: then it was this process that did not look, or both were stopped.
 */
export class OwnTime {
  readonly #pid: number;
  readonly #most: number;
  #at = performance.now();
  #used: number;

  /** @param most Milliseconds that one look counts for at most: somewhat more than passes between two. */
  constructor(pid: number, most: number) {
    this.#pid = pid;
    this.#most = most;
    this.#used = processorTime(pid) ?? 0;
  }

  /** Forgets what passed since the last look. */
  skip(): void {
    this.#at = performance.now();
    this.#used = processorTime(this.#pid) ?? this.#used;
  }

  /** Adds what passed since the last look. */
  addTo(spent: Spent): void {
    const { at, used } = { at: this.#at, used: this.#used };
    this.skip();
    const passed = Math.min(this.#at - at, this.#most);
    const worked = Math.min(this.#used - used, passed);
    const waits = worked < passed * WHOLE_SHARE && isWorking(this.#pid);
    spent.worked += worked;
    spent.own += waits ? Math.max(worked, passed * LEAST_SHARE) : passed;
  }
}
