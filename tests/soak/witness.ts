/**
 * What must go on whatever a driver does: a disk that is written and read, and the core's event loop.
 *
 * @module
 */

import type { BlockDevice } from "../../classes/block/protocol.ts";
import { pattern } from "../support/machine.ts";

const BYTES = 4096;
const PLACES = 64;

/** Writes and reads a disk all the time, and knows what stands on it. */
export class Witness implements AsyncDisposable {
  /** How often something was written and read back. */
  rounds = 0;
  /** Reads that gave what was not written. */
  wrong = 0;
  /** When a round ended last. */
  at = performance.now();
  /** Why it ended, if it failed. */
  failed: Error | undefined;
  #over = false;
  readonly #running: Promise<void>;

  constructor(disk: Pick<BlockDevice, "read" | "write">) {
    this.#running = this.#run(disk).catch((error) => {
      this.failed = error;
    });
  }

  async #run(disk: Pick<BlockDevice, "read" | "write">): Promise<void> {
    while (!this.#over) {
      const place = this.rounds % PLACES * BYTES;
      const bytes = pattern(BYTES, this.rounds);
      await disk.write(place, bytes);
      const read = await disk.read(place, BYTES);
      if (read.some((byte, i) => byte !== bytes[i])) this.wrong++;
      this.rounds++;
      this.at = performance.now();
    }
  }

  /** Waits until so many more rounds have ended; false if they do not for so long. */
  async progress(rounds: number, milliseconds = 30_000): Promise<boolean> {
    const goal = this.rounds + rounds;
    const end = performance.now() + milliseconds;
    while (this.rounds < goal && !this.failed) {
      if (performance.now() > end) return false;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return !this.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#running;
  }
}

/** Watches how long the event loop stands still. */
export class Gaps implements Disposable {
  /** Milliseconds beyond what was to be, of each look. */
  readonly all: number[] = [];
  #last = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.all.push(Math.max(0, now - this.#last - 5));
    this.#last = now;
  }, 5);

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** The value below which so much of all is, and the greatest. */
export function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN).toFixed(0);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms (of ${sorted.length})`;
}
