/** Why a flush cannot keep its promise. */
export const MAY_BE_LOST =
  "the device was started anew since the last flush, and may have lost what was written before; write it again";

/** Nothing waits to be made durable. */
const NONE = -1;

/**
 * Keeps in mind whether a flush can keep its promise. What a disk with a write cache has acknowledged is durable after
 * a flush of the same start of the device; a device that was reset in between may have lost its cache.
 *
 * A start is the number of restarts before it.
 */
export class Unflushed {
  /** The earliest start in which something was written that no flush covers yet. */
  #since = NONE;

  /** Something was written to the cache in this start. */
  written(start: number): void {
    if (this.#since === NONE || start < this.#since) this.#since = start;
  }

  /** Whether anything waits for a flush. */
  get any(): boolean {
    return this.#since !== NONE;
  }

  /** A flush begins: what was written until now is its matter. The result goes to {@linkcode flushed} or `failed`. */
  flush(): number {
    const since = this.#since;
    this.#since = NONE;
    return since;
  }

  /** A flush succeeded in this start. Returns whether it covers all that was its matter. */
  flushed(since: number, start: number): boolean {
    return since === NONE || since === start;
  }

  /** A flush failed: what was its matter is that of the next one. */
  failed(since: number): void {
    if (since !== NONE) this.written(since);
  }
}
