/**
 * A crypto device as a model (virtio 1.4, 5.9): AES-CBC by Web Crypto.
 *
 * @module
 */

import type { DeviceModel, Request } from "@virtio/deno/simulation";

const DATA = 0;
const HEADER = 72;
const Status = { ok: 0, error: 1 } as const;
const { subtle } = globalThis.crypto;

type Bytes = Uint8Array<ArrayBuffer>;

/** A session: a key and what it is for. */
interface Session {
  readonly key: Promise<CryptoKey>;
  readonly decrypts: boolean;
}

/** Knows AES-CBC and nothing else. */
export class CryptoModel implements DeviceModel {
  readonly id = 20;
  readonly queues: readonly number[] = [64, 64];
  /** It is ready, has one data queue, and of services and ciphers one each. */
  readonly config: Uint8Array = new Uint8Array(Uint32Array.of(1, 1, 1, 1 << 3).buffer);
  /** Requests whose work was done. */
  done = 0;
  /** Sessions that are open, by their numbers. */
  readonly sessions: Map<number, Session> = new Map();
  #opened = 0;
  #resets = 0;

  handle(queue: number, request: Request): number | undefined {
    const header = new Uint32Array(HEADER / 4);
    request.read(new Uint8Array(header.buffer));
    if (queue !== DATA) return this.#control(header, request);
    const vector = new Uint8Array(16);
    request.read(vector);
    const bytes = new Uint8Array(request.readable);
    request.read(bytes);
    const resets = this.#resets;
    this.#work(header, vector, bytes).then((output) => {
      // The memory of a request is not the device's any more after a reset.
      if (resets !== this.#resets) return;
      if (output) request.write(output);
      else request.nextWritable(bytes.length);
      request.write(Uint8Array.of(output ? Status.ok : Status.error));
      request.complete(request.written);
    });
    return undefined;
  }

  reset(): void {
    this.#resets++;
    this.sessions.clear();
  }

  #control([opcode, , , , first, , operation]: Uint32Array, request: Request): number {
    if (opcode === 3) {
      request.write(Uint8Array.of(this.sessions.delete(first!) ? Status.ok : Status.error));
      return request.written;
    }
    const bytes = new Uint8Array(request.readable);
    request.read(bytes);
    const key = subtle.importKey("raw", bytes, "AES-CBC", false, ["encrypt", "decrypt"]);
    key.catch(() => {});
    const good = opcode === 2 && [16, 24, 32].includes(bytes.length);
    const number = this.#opened++;
    if (good) this.sessions.set(number, { key, decrypts: operation === 2 });
    const answer = Uint32Array.of(number, 0, good ? Status.ok : Status.error, 0);
    request.write(new Uint8Array(answer.buffer));
    return request.written;
  }

  /** The work of a request; nothing if it cannot be done. */
  async #work(
    [opcode, , number]: Uint32Array,
    iv: Bytes,
    bytes: Bytes,
  ): Promise<Bytes | undefined> {
    const session = this.sessions.get(number!);
    const { length } = bytes;
    if (session?.decrypts !== (opcode === 1) || length === 0 || length % 16 !== 0) return undefined;
    const key = await session.key;
    const encrypt = async (iv: Bytes, bytes: Bytes) =>
      new Uint8Array(await subtle.encrypt({ name: "AES-CBC", iv }, key, bytes));
    this.done++;
    if (opcode === 0) return (await encrypt(iv, bytes)).subarray(0, length);
    // Web Crypto wants a last block that tells the length.
    const padded = Uint8Array.of(...bytes, ...await encrypt(bytes.slice(-16), new Uint8Array()));
    return new Uint8Array(await subtle.decrypt({ name: "AES-CBC", iv }, key, padded));
  }
}

export default (): DeviceModel => new CryptoModel();
