/** Bytes of a mailbox's head: two counters, each on a cache line of its own. */
const HEAD = 128;
const TAIL_WORD = 16;

/** Bytes that a mailbox of `capacity` bytes of messages needs. `capacity` is a power of two. */
export function mailboxBytes(capacity: number): number {
  return HEAD + capacity;
}

/** The other side broke the rules of the bus. */
export class BusFault extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "BusFault";
}

/**
 * One direction of the bus: a ring of bytes in shared memory with one sender and one receiver. A message is its
 * length, four bytes, and then JSON. It is bounded: a flood stops its sender.
 *
 * Counters and lengths are the other side's word: each is read once and checked, and a message is copied before it
 * is parsed.
 */
export class Mailbox {
  readonly #counters: Uint32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #capacity: number;
  /** Own counter of bytes sent or received, whichever side this is. The shared copy is never read back. */
  #own = 0;

  constructor(memory: SharedArrayBuffer, offset: number, capacity: number) {
    this.#counters = new Uint32Array(memory, offset, HEAD / 4);
    this.#bytes = new Uint8Array(memory, offset + HEAD, capacity);
    this.#capacity = capacity;
  }

  /** Bytes sent or received so far, in 32 bits. */
  get passed(): number {
    return this.#own;
  }

  /**
   * Appends a message.
   *
   * @returns Whether there was room; if not, nothing was sent.
   */
  send(message: unknown): boolean {
    const text = new TextEncoder().encode(JSON.stringify(message));
    const pending = this.#own - Atomics.load(this.#counters, TAIL_WORD) >>> 0;
    if (pending + 4 + text.length > this.#capacity) return false;
    const length = new Uint8Array(new Uint32Array([text.length]).buffer);
    this.#copyIn(this.#own, length);
    this.#copyIn(this.#own + 4, text);
    this.#own = this.#own + 4 + text.length >>> 0;
    Atomics.store(this.#counters, 0, this.#own);
    return true;
  }

  /**
   * Takes the oldest message.
   *
   * @returns The parsed JSON, not looked at yet; undefined if there is none.
   * @throws BusFault If what is there is no message.
   */
  receive(): unknown {
    const pending = Atomics.load(this.#counters, 0) - this.#own >>> 0;
    if (pending === 0) return undefined;
    if (pending > this.#capacity || pending < 4) {
      throw new BusFault(
        `Cannot receive a message: ${pending} bytes are pending in ${this.#capacity}`,
      );
    }
    const length = new Uint32Array(this.#copyOut(this.#own, 4).buffer)[0]!;
    if (length > pending - 4) {
      throw new BusFault(`Cannot receive a message: it claims ${length} bytes of ${pending - 4}`);
    }
    const text = new TextDecoder().decode(this.#copyOut(this.#own + 4, length));
    this.#own = this.#own + 4 + length >>> 0;
    Atomics.store(this.#counters, TAIL_WORD, this.#own);
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new BusFault(`Cannot receive a message: ${(error as Error).message}`);
    }
  }

  #copyIn(counter: number, bytes: Uint8Array): void {
    const at = counter % this.#capacity;
    const first = Math.min(bytes.length, this.#capacity - at);
    this.#bytes.set(bytes.subarray(0, first), at);
    this.#bytes.set(bytes.subarray(first), 0);
  }

  #copyOut(counter: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    const at = counter % this.#capacity;
    const first = Math.min(length, this.#capacity - at);
    bytes.set(this.#bytes.subarray(at, at + first));
    bytes.set(this.#bytes.subarray(0, length - first), first);
    return bytes;
  }
}
