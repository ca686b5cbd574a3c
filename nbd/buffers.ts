/** Room for the head of a message before its data, whose length is a power of two most of the time. */
const HEAD = 4096;

/** Buffers for data, used again and again: new ones cost a page fault for each page. */
export class Buffers {
  readonly #most: number;
  readonly #free = new Map<number, Uint8Array<ArrayBuffer>[]>();
  #kept = 0;

  /** @param most Bytes to keep at most while they are not used. */
  constructor(most: number) {
    this.#most = most;
  }

  /** A buffer of that length. What stands in it is undefined. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const size = sizeFor(length);
    const kept = this.#free.get(size)?.pop();
    if (kept) this.#kept -= size;
    return (kept ?? new Uint8Array(size)).subarray(0, length);
  }

  /** Gives a buffer back that was taken, or any other: small ones are not kept. */
  give(bytes: Uint8Array<ArrayBuffer>): void {
    const whole = new Uint8Array(bytes.buffer);
    if (whole.length !== sizeFor(whole.length) || this.#kept + whole.length > this.#most) return;
    this.#kept += whole.length;
    const list = this.#free.get(whole.length);
    if (list) list.push(whole);
    else this.#free.set(whole.length, [whole]);
  }
}

/** Sizes are powers of two, and the room for a head. */
function sizeFor(length: number): number {
  let size = HEAD;
  while (HEAD + size < length) size *= 2;
  return HEAD + size;
}
