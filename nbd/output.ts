/** Answers that go out together, in bytes. */
const TOGETHER = 128 << 10;
/** Up to so many bytes a copy costs less than a call of their own. */
const SHORT = 16 << 10;

interface Waiting {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sent: () => void;
}

/**
 * Bytes for a client, in the order in which they were put. Short ones are put together, so that one call sends many; long
 * ones are sent from where they are.
 */
export class Output {
  /** Those that go out together. */
  readonly bytes = new Uint8Array(TOGETHER);
  /** The same. */
  readonly view = new DataView(this.bytes.buffer);
  #start = 0;
  #end = 0;
  /** What comes behind them; of the first, so many bytes are sent. */
  readonly #waiting: Waiting[] = [];
  #sent = 0;
  #length = 0;
  #dropped = false;
  readonly #ready: () => void;

  /** @param ready Called when there is something to send, where there was nothing; it is whole a little later. */
  constructor(ready: () => void) {
    this.#ready = ready;
  }

  /** Bytes that are not sent yet. */
  get length(): number {
    return this.#length;
  }

  /** Where in {@linkcode bytes} the caller may put the next `length` of them, at once; −1 if too much goes out before. */
  place(length: number): number {
    if (this.#waiting.length > 0 || this.#dropped) return -1;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    const at = this.#end;
    if (at + length > TOGETHER) return -1;
    this.#end += length;
    this.#more(length);
    return at;
  }

  /** Sends bytes; `sent` is called when they are not needed any more. */
  put(bytes: Uint8Array<ArrayBuffer>, sent: () => void): void {
    const at = bytes.length > SHORT ? -1 : this.place(bytes.length);
    if (at >= 0) {
      this.bytes.set(bytes, at);
      return sent();
    }
    if (this.#dropped) return sent();
    this.#waiting.push({ bytes, sent });
    this.#more(bytes.length);
  }

  /** What is to be sent next. */
  next(): Uint8Array<ArrayBuffer> {
    if (this.#start === this.#end) this.#gather();
    if (this.#start < this.#end) return this.bytes.subarray(this.#start, this.#end);
    return this.#waiting[0]!.bytes.subarray(this.#sent);
  }

  /** So many bytes of {@linkcode next} are sent. */
  sent(count: number): void {
    this.#length -= count;
    if (this.#start < this.#end) {
      this.#start += count;
      return;
    }
    const first = this.#waiting[0]!;
    this.#sent += count;
    if (this.#sent < first.bytes.length) return;
    this.#waiting.shift();
    this.#sent = 0;
    first.sent();
  }

  /** Nothing is sent any more, whatever is put. */
  drop(): void {
    this.#dropped = true;
    this.#start =
      this.#end =
      this.#sent =
      this.#length =
        0;
    for (const { sent } of this.#waiting.splice(0)) sent();
  }

  /** Puts short ones together that had to wait. */
  #gather(): void {
    this.#start = this.#end = 0;
    for (let first = this.#waiting[0]; first && this.#sent === 0; first = this.#waiting[0]) {
      const { bytes, sent } = first;
      if (bytes.length > SHORT || this.#end + bytes.length > TOGETHER) return;
      this.bytes.set(bytes, this.#end);
      this.#end += bytes.length;
      this.#waiting.shift();
      sent();
    }
  }

  #more(length: number): void {
    this.#length += length;
    if (this.#length === length) this.#ready();
  }
}
