/**
 * The other end of the wire of a QEMU's network card: frames as they pass, without this project.
 *
 * @module
 */

import { assert } from "@std/assert";
import { deadline } from "@std/async";

/** Frames that came, in their order, for tests that wait for them. */
class Arrivals {
  readonly #waiting: Uint8Array[] = [];
  readonly #readers: ((frame: Uint8Array) => void)[] = [];

  put(frame: Uint8Array): void {
    const reader = this.#readers.shift();
    if (reader) reader(frame);
    else this.#waiting.push(frame);
  }

  /** The next one that is `wanted`. Others are passed over. */
  async next(wanted: (frame: Uint8Array) => boolean = () => true): Promise<Uint8Array> {
    for (;;) {
      const frame = this.#waiting.shift() ??
        await within("a frame", new Promise<Uint8Array>((resolve) => this.#readers.push(resolve)));
      if (wanted(frame)) return frame;
    }
  }
}

/** What a promise gives, which must be soon. */
export async function within<T>(what: string, promise: Promise<T>, ms = 60_000): Promise<T> {
  try {
    return await deadline(promise, ms);
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw late ? new Error(`${what} did not come within ${ms} ms`) : error;
  }
}

/** A peer of QEMU's `-netdev stream`: a Unix socket on which each frame follows its length. */
export class StreamPeer implements AsyncDisposable {
  readonly #path = `${Deno.makeTempDirSync({ prefix: "virtio-net-" })}/wire`;
  readonly #listener = Deno.listen({ transport: "unix", path: this.#path });
  readonly #arrivals = new Arrivals();
  #connection: Deno.UnixConn | undefined;
  #reading: Promise<void> | undefined;

  /** For QEMU; the backend is called `wire`. */
  get netdev(): readonly string[] {
    return ["-netdev", `stream,id=wire,server=off,addr.type=unix,addr.path=${this.#path}`];
  }

  /** Waits for QEMU. */
  async accept(): Promise<void> {
    this.#connection = await within("QEMU", this.#listener.accept());
    this.#reading = this.#read(this.#connection);
  }

  /** Puts a frame on the wire. */
  async send(frame: Uint8Array): Promise<void> {
    const bytes = new Uint8Array(4 + frame.length);
    new DataView(bytes.buffer).setUint32(0, frame.length);
    bytes.set(frame, 4);
    for (let at = 0; at < bytes.length;) {
      at += await this.#connection!.write(bytes.subarray(at));
    }
  }

  /** The next frame that came over the wire. */
  next(wanted?: (frame: Uint8Array) => boolean): Promise<Uint8Array> {
    return this.#arrivals.next(wanted);
  }

  async #read(connection: Deno.UnixConn): Promise<void> {
    let rest = new Uint8Array(0);
    const buffer = new Uint8Array(1 << 17);
    for (;;) {
      const count = await connection.read(buffer).catch(() => null);
      if (count === null) return;
      const all = new Uint8Array(rest.length + count);
      all.set(rest);
      all.set(buffer.subarray(0, count), rest.length);
      let at = 0;
      while (at + 4 <= all.length) {
        const length = new DataView(all.buffer).getUint32(at);
        if (at + 4 + length > all.length) break;
        this.#arrivals.put(all.slice(at + 4, at + 4 + length));
        at += 4 + length;
      }
      rest = all.slice(at);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.#connection?.close();
    await this.#reading;
    Deno.removeSync(this.#path.replace(/\/wire$/, ""), { recursive: true });
  }
}

/** The address of the peer. */
export const PEER: Uint8Array = Uint8Array.of(2, 0, 0, 0, 0, 0x77);
/** The address of the card, as QEMU is told. */
export const CARD = "52:54:00:12:34:56";
/** A type of frame that no network uses (IEEE 802, local experimental). */
const EXPERIMENTAL = 0x88b5;

/** A frame of so many bytes, filled with what tells it from others. */
export function frameOf(
  to: Uint8Array,
  from: Uint8Array,
  length: number,
  seed = length,
): Uint8Array<ArrayBuffer> {
  assert(length >= 14);
  const frame = Uint8Array.from({ length }, (_, i) => seed + i * 7 + (i >> 8));
  frame.set(to);
  frame.set(from, 6);
  frame.set([EXPERIMENTAL >> 8, EXPERIMENTAL & 0xff], 12);
  return frame;
}

/** The frame with a VLAN tag. */
export function tagged(frame: Uint8Array, vlan: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(frame.length + 4);
  bytes.set(frame.subarray(0, 12));
  bytes.set([0x81, 0, vlan >> 8, vlan & 0xff], 12);
  bytes.set(frame.subarray(12), 16);
  return bytes;
}
