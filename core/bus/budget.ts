/**
 * How much of something there may be in a second, whatever it is counted in. What was not used is saved for one second
 * at most; so a burst passes, and a flood does not.
 */
export class Budget {
  readonly #perSecond: number;
  #left: number;
  #at = performance.now();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Takes so much, even if there is less: what is known only when it has been done is paid for afterwards. */
  spend(amount: number): void {
    this.#left -= amount;
  }

  /** Whether nothing is left. */
  get spent(): boolean {
    if (this.#left > 0) return false;
    const now = performance.now();
    this.#left = Math.min(
      this.#perSecond,
      this.#left + (now - this.#at) / 1000 * this.#perSecond,
    );
    this.#at = now;
    return this.#left <= 0;
  }
}
