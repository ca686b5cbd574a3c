import type { ClientLane } from "../client_lane.ts";

/** The slots of a lane for those who wait their turn. */
export class SlotQueue {
  readonly #lane: ClientLane;
  readonly #waiting: (() => void)[] = [];

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** Takes a slot; waits for one if there is none. */
  async take(): Promise<number> {
    for (;;) {
      const slot = this.#lane.take();
      if (slot >= 0) return slot;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Gives a slot back. */
  release(slot: number): void {
    this.#lane.release(slot);
    this.#waiting.shift()?.();
  }
}
