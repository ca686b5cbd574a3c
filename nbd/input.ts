/** Bytes that are buffered at most. */
const BUFFER_BYTES = 65536;
/** Bytes that are received ahead at a time: what is data among them must be copied. */
const AHEAD = 8192;
/** The most that {@linkcode Input.expect} can wait for. */
export const MOST_EXPECTED = 32768;

/** What is done with bytes that came: they stand there from `at` on, until it returns. */
export type Step = (view: DataView<ArrayBuffer>, at: number) => void;

/**
 * Bytes from a client, cut as the connection asks. Long data is received where it is wanted, without a copy.
 *
 * Each step says what the next is, by {@linkcode expect} or {@linkcode fill}, possibly after {@linkcode skip}.
 */
export class Input {
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  /** What is received and not used. */
  #start = 0;
  #end = 0;
  #needed = 0;
  #skipped = 0;
  #target: Uint8Array<ArrayBuffer> | undefined;
  #filled = 0;
  #next: Step = () => {};
  readonly #paused: () => boolean;

  /** @param paused Whether no step must be made now; {@linkcode go} goes on. */
  constructor(paused: () => boolean) {
    this.#paused = paused;
  }

  /** The next step needs so many bytes. */
  expect(count: number, next: Step): void {
    this.#needed = count;
    this.#next = next;
  }

  /** The next step needs `target` filled. */
  fill(target: Uint8Array<ArrayBuffer>, next: () => void): void {
    this.#target = target;
    this.#filled = 0;
    this.#next = next;
  }

  /** Throws so many bytes away before the next step. */
  skip(count: number): void {
    this.#skipped = count;
  }

  /** Whether what comes goes to its target at once. */
  get #direct(): boolean {
    return this.#target !== undefined && this.#start === this.#end && this.#skipped === 0;
  }

  /** Where to put the next bytes that come; never empty, unless it is paused. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#direct) return this.#target!.subarray(this.#filled);
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return this.#buffer.subarray(this.#end, this.#end + AHEAD);
  }

  /** So many bytes were put into {@linkcode room}. */
  received(count: number): void {
    if (this.#direct) this.#filled += count;
    else this.#end += count;
    this.go();
  }

  /** Makes all steps that can be made. */
  go(): void {
    while (!this.#paused() && this.#step());
  }

  #step(): boolean {
    const skipped = Math.min(this.#skipped, this.#end - this.#start);
    this.#start += skipped;
    this.#skipped -= skipped;
    if (this.#skipped > 0) return false;
    const next = this.#next;
    const target = this.#target;
    if (target) {
      const count = Math.min(target.length - this.#filled, this.#end - this.#start);
      target.set(this.#buffer.subarray(this.#start, this.#start + count), this.#filled);
      this.#start += count;
      this.#filled += count;
      if (this.#filled < target.length) return false;
      this.#target = undefined;
      next(this.#view, this.#start);
      return true;
    }
    if (this.#end - this.#start < this.#needed) return false;
    const at = this.#start;
    this.#start += this.#needed;
    next(this.#view, at);
    return true;
  }
}
