// Cuts the bytes of a vfio-user connection into messages.

import { decodeHeader, type Header, Malformed } from "./message.ts";
import { HEADER_BYTES } from "./protocol.ts";

/** A whole message, and the descriptors that came with it. */
export interface Framed {
  readonly header: Header;
  /** What follows the header. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** The receiver's to close. */
  readonly descriptors: readonly number[];
}

/**
 * Cuts a stream into messages. A descriptor belongs to the message with whose first byte it came; so each read must end
 * where the framing says, by the length of {@linkcode Framing.room}.
 */
export class Framing {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #decoded: Header | undefined;
  #payload = new Uint8Array(0);
  #filled = 0;
  #descriptors: number[] = [];

  /** Where the next bytes go: at most so many may be read. */
  get room(): Uint8Array<ArrayBuffer> {
    return (this.#decoded ? this.#payload : this.#header).subarray(this.#filled);
  }

  /** Whether a message has begun and not ended. */
  get isInside(): boolean {
    return this.#decoded !== undefined || this.#filled > 0;
  }

  /**
   * So many bytes were put into {@linkcode room}.
   *
   * @param descriptors What came with them. They belong to the framing until a message is returned.
   * @returns The message, if these were the last bytes of it.
   * @throws {Malformed} If it is no message; {@linkcode takeDescriptors} has what came with it.
   */
  filled(bytes: number, descriptors: readonly number[]): Framed | undefined {
    this.#descriptors.push(...descriptors);
    if (descriptors.length > 0 && (this.#decoded || this.#filled > 0)) {
      throw new Malformed("Descriptors came in the middle of a message");
    }
    this.#filled += bytes;
    if (!this.#decoded) {
      if (this.#filled < HEADER_BYTES) return undefined;
      this.#decoded = decodeHeader(this.#header);
      this.#payload = new Uint8Array(this.#decoded.size - HEADER_BYTES);
      this.#filled = 0;
    }
    if (this.#filled < this.#payload.length) return undefined;
    const header = this.#decoded;
    const payload = this.#payload;
    this.#decoded = undefined;
    this.#filled = 0;
    return { header, payload, descriptors: this.takeDescriptors() };
  }

  /** Descriptors of a message that will not be finished: the caller's to close. */
  takeDescriptors(): number[] {
    const taken = this.#descriptors;
    this.#descriptors = [];
    return taken;
  }
}
