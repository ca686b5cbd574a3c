/** Bytes of a message, put together from front to back; numbers are big-endian. */
export class Bytes {
  /** All of them; zero where nothing was put. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  #at = 0;

  /** @param length How many, or where they are to be. */
  constructor(length: number | Uint8Array<ArrayBuffer>) {
    this.bytes = typeof length === "number" ? new Uint8Array(length) : length;
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  /** Puts 16 bits. */
  u16(value: number): this {
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
    return this;
  }

  /** Puts 32 bits. */
  u32(value: number): this {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
    return this;
  }

  /** Puts 64 bits. */
  u64(value: bigint): this {
    this.#view.setBigUint64(this.#at, value);
    this.#at += 8;
    return this;
  }

  /** Puts bytes. */
  put(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}
