/** Restarts count for so long. */
const WINDOW_MS = 60_000;
/** The second restart in a row waits so long, and each one after that twice as long as the one before, up to the most. */
const BACK_OFF_MS = 100;
const MOST_BACK_OFF_MS = 30_000;

/** How often something that fails may be started anew: so often in a minute, with growing pauses. */
export class Restarts {
  readonly #most: number;
  readonly #times: number[] = [];
  #total = 0;

  /** @param most Restarts in a minute. */
  constructor(most: number) {
    this.#most = most;
  }

  /** All that were taken. */
  get total(): number {
    return this.#total;
  }

  /** Restarts in the last minute. */
  get count(): number {
    const since = performance.now() - WINDOW_MS;
    while (this.#times.length > 0 && this.#times[0]! < since) this.#times.shift();
    return this.#times.length;
  }

  /**
   * Takes one.
   *
   * @returns Milliseconds to wait before; undefined if there is none left.
   */
  take(): number | undefined {
    const { count } = this;
    if (count >= this.#most) return undefined;
    this.#times.push(performance.now());
    this.#total++;
    return count === 0 ? 0 : Math.min(MOST_BACK_OFF_MS, BACK_OFF_MS * 2 ** (count - 1));
  }
}
