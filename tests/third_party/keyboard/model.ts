/**
 * A keyboard as a model (virtio 1.4, 5.8).
 *
 * @module
 */

import type { DeviceModel, Request } from "@virtio/deno/simulation";
import { EVENT_BYTES, EventType } from "./protocol.ts";

const NAME = new TextEncoder().encode("Simulated Keyboard");
/** Of the codes 1 to 127, all. */
const KEYS = new Uint8Array(16).fill(0xff).with(0, 0xfe);

/** A keyboard whose keys a program presses. */
export class KeyboardModel implements DeviceModel {
  readonly id = 18;
  readonly queues: readonly number[] = [64, 64];
  readonly config: Uint8Array<ArrayBuffer> = new Uint8Array(136);
  /** The lights that are on. */
  readonly lit: Set<number> = new Set();
  /** Buffers for events. */
  #room: Request[] = [];

  handle(queue: number, request: Request): number | undefined {
    if (queue === 0) {
      this.#room.push(request);
      return undefined;
    }
    const event = new Uint8Array(EVENT_BYTES);
    request.read(event);
    if (event[0] === EventType.led && event[4]) this.lit.add(event[2]!);
    else if (event[0] === EventType.led) this.lit.delete(event[2]!);
    return 0;
  }

  /** Shows what is selected. */
  configWrite(offset: number, value: number): void {
    if (offset > 1) return;
    this.config[offset] = value;
    const [select, subsel] = this.config;
    const data = select === 0x01 ? NAME : select === 0x11 && subsel === EventType.key ? KEYS : [];
    this.config.fill(0, 2);
    this.config[2] = data.length;
    this.config.set(data, 8);
  }

  reset(): void {
    this.#room = [];
    this.lit.clear();
  }

  /** Presses a key or lets it go. Returns whether there was room to tell: if not, it is lost. */
  press(code: number, down: boolean): boolean {
    if (this.#room.length < 2) return false;
    // Each ends with a report that all of it was told.
    const events = [[EventType.key, 0, code, 0, Number(down), 0, 0, 0], new Array(8).fill(0)];
    for (const event of events) {
      const request = this.#room.shift()!;
      request.write(Uint8Array.from(event));
      request.complete(EVENT_BYTES);
    }
    return true;
  }
}

export default (): DeviceModel => new KeyboardModel();
