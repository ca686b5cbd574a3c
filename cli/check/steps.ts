import type { Step } from "../../core/class/mod.ts";

/** What a check is doing, and a deadline for it. */
export class Steps implements Disposable {
  /** Aborted when a step takes too long. */
  readonly signal: AbortSignal;
  readonly #late = new AbortController();
  readonly #usual: number;
  #patience = Infinity;
  #over = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #what = "waiting for its turn";
  #progress: (() => string) | undefined;

  /** @param patience Milliseconds that a step may take, unless it says otherwise. */
  constructor(patience: number) {
    this.signal = this.#late.signal;
    this.#usual = patience;
  }

  /** Begins a step; the one before is over. */
  readonly begin: Step = (what, progress) => {
    if (this.#over || this.signal.aborted) return;
    this.#what = what;
    this.#progress = progress;
    this.allow(this.#usual);
  };

  /** Lets the step take so many milliseconds from now on. */
  allow(patience: number): void {
    this.#patience = patience;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#late.abort(), patience);
  }

  /** What is being done: `reading random bytes, 64 came`. */
  get now(): string {
    const far = this.#progress?.();
    return far === undefined ? this.#what : `${this.#what}, ${far}`;
  }

  /** Milliseconds that it may take. */
  get patience(): number {
    return this.#patience;
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }
}
