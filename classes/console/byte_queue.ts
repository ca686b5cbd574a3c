/** Bytes that wait, first in, first out: as much memory as they need, and never more than a limit. */
export class ByteQueue {
  /** The most bytes that it holds. */
  readonly limit: number;
  #ring = new Uint8Array(0);
  #start = 0;
  #length = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes in it. */
  get length(): number {
    return this.#length;
  }

  /** Appends bytes, if there is room for all of them. Returns whether there was. */
  push(bytes: Uint8Array): boolean {
    const length = this.#length + bytes.length;
    if (length > this.limit) return false;
    if (length > this.#ring.length) this.#grow(length);
    const ring = this.#ring;
    const at = (this.#start + this.#length) % Math.max(ring.length, 1);
    const first = Math.min(bytes.length, ring.length - at);
    ring.set(bytes.subarray(0, first), at);
    ring.set(bytes.subarray(first), 0);
    this.#length = length;
    return true;
  }

  /** Takes bytes out, at most `most`. */
  shift(most: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(Math.min(most, this.#length));
    const ring = this.#ring;
    const first = Math.min(bytes.length, ring.length - this.#start);
    bytes.set(ring.subarray(this.#start, this.#start + first));
    bytes.set(ring.subarray(0, bytes.length - first), first);
    this.#length -= bytes.length;
    // What is empty needs no memory.
    if (this.#length === 0) this.clear();
    else this.#start = (this.#start + bytes.length) % ring.length;
    return bytes;
  }

  /** Drops all of it. */
  clear(): void {
    this.#ring = new Uint8Array(0);
    this.#start = this.#length = 0;
  }

  #grow(length: number): void {
    const capacity = Math.min(this.limit, Math.max(4096, 2 ** Math.ceil(Math.log2(length))));
    const ring = new Uint8Array(capacity);
    const old = this.#ring;
    const first = Math.min(this.#length, old.length - this.#start);
    ring.set(old.subarray(this.#start, this.#start + first));
    ring.set(old.subarray(0, this.#length - first), first);
    this.#ring = ring;
    this.#start = 0;
  }
}
