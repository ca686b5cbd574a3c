/** Numbers that look random and are the same for the same seed (a generator of Marsaglia's, xorshift32). */
export class Random {
  #state: number;

  /** @param seed A whole number of 32 bits. */
  constructor(seed: number) {
    // The generator stays at 0; neighbours shall not begin alike.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0 || 1;
  }

  /** A whole number below `limit`, at most 2³². */
  below(limit: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return Math.floor(this.#state / 2 ** 32 * limit);
  }

  /** Fills bytes. */
  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.below(256);
  }
}
