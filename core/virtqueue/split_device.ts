// The device's side of a split ring (virtio 1.4, 2.7).

import { INDIRECT, NEXT, QUIET, WORDS } from "./descriptor.ts";
import {
  append,
  type Chain,
  type DeviceRingOptions,
  DriverFault,
  type HonestQueue,
  type RingPlace,
  type Taken,
  writableBytes,
} from "./device_queue.ts";
import { passed } from "./event_index.ts";
import { InOrder } from "./in_order.ts";
import { DESCRIPTOR_BYTES } from "./layout.ts";

/** The device side of a split virtqueue (virtio 1.4, 2.7). */
export class SplitDevice implements HonestQueue {
  readonly size: number;
  readonly #options: DeviceRingOptions;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #inOrder: InOrder | undefined;
  #seen = 0;
  #used = 0;
  #published = 0;

  constructor(options: DeviceRingOptions) {
    this.size = options.size;
    this.#options = options;
    this.#halves = new Uint16Array(options.memory);
    this.#words = new Uint32Array(options.memory);
    if (options.inOrder) this.#inOrder = new InOrder(options.size);
    const { available, used } = options.from ?? { available: 0, used: 0 };
    this.#seen = available;
    this.#used = this.#published = used;
  }

  get place(): RingPlace {
    return { available: this.#seen, used: this.#published };
  }

  take(chain: Chain): boolean {
    const { driver, size } = this.#options;
    const available = Atomics.load(this.#halves, driver / 2 + 1);
    const waiting = available - this.#seen & 0xffff;
    if (waiting === 0) return false;
    if (waiting > size) {
      throw new DriverFault(`${waiting} requests are available in a queue of ${size}`);
    }
    chain.head = this.#halves[driver / 2 + 2 + this.#seen % size]!;
    chain.count = 0;
    chain.readable = 0;
    this.#walk(chain, this.#options.descriptors / 4, size, chain.head, this.#options.indirect);
    this.#seen = this.#seen + 1 & 0xffff;
    this.#inOrder?.take(chain.head, writableBytes(chain), 1);
    return true;
  }

  takeAgain(chain: Chain, { head }: Taken): void {
    chain.head = head;
    chain.count = 0;
    chain.readable = 0;
    this.#walk(chain, this.#options.descriptors / 4, this.size, head, this.#options.indirect);
  }

  #walk(chain: Chain, table: number, entries: number, first: number, indirect: boolean): void {
    const words = this.#words;
    for (let index = first, steps = 0;; steps++) {
      if (index >= entries) {
        throw new DriverFault(`Descriptor ${index} is outside a table of ${entries}`);
      }
      if (steps >= entries) throw new DriverFault(`The chain of descriptor ${first} has a loop`);
      const at = table + index * WORDS;
      const address = words[at]! + words[at + 1]! * 2 ** 32;
      const length = words[at + 2]!;
      const flags = words[at + 3]! & 0xffff;
      const next = words[at + 3]! >>> 16;
      if (flags & INDIRECT) {
        if (!indirect) {
          throw new DriverFault(`Descriptor ${index} is indirect, which was not agreed here`);
        }
        if (flags & NEXT) {
          throw new DriverFault(`Descriptor ${index} is indirect and has a successor`);
        }
        if (length === 0 || length % DESCRIPTOR_BYTES !== 0) {
          throw new DriverFault(`Descriptor ${index} has an indirect table of ${length} bytes`);
        }
        const inner = this.#options.translate(address, length);
        if (inner % 4 !== 0) {
          throw new DriverFault(`Descriptor ${index} has a table at an odd address`);
        }
        return this.#walk(chain, inner / 4, length / DESCRIPTOR_BYTES, 0, false);
      }
      append(chain, index, address, length, flags);
      if (!(flags & NEXT)) return;
      index = next;
    }
  }

  put(head: number, written: number): void {
    if (!this.#inOrder?.put(head, written)) this.#use(head, written, 1);
  }

  /** Writes a used element that stands for `requests` of them, and leaves out the elements of the others (2.7.9). */
  #use(head: number, written: number, requests: number): void {
    const at = this.#options.device / 4 + 1 + (this.#used % this.size) * 2;
    this.#words[at] = head;
    this.#words[at + 1] = written;
    this.#used = this.#used + requests & 0xffff;
  }

  publish(): boolean {
    const { device, driver, eventIndex, size } = this.#options;
    const before = this.#published;
    this.#inOrder?.flush((head, written, requests) => this.#use(head, written, requests));
    if (this.#used === before) return false;
    this.#published = this.#used;
    Atomics.store(this.#halves, device / 2 + 1, this.#used);
    if (eventIndex) {
      return passed(Atomics.load(this.#halves, driver / 2 + 2 + size), this.#used, before);
    }
    return (Atomics.load(this.#halves, driver / 2) & QUIET) === 0;
  }

  arm(): boolean {
    const { device, driver, eventIndex, size } = this.#options;
    if (eventIndex) Atomics.store(this.#halves, device / 2 + 2 + 4 * size, this.#seen);
    else Atomics.store(this.#halves, device / 2, 0);
    return Atomics.load(this.#halves, driver / 2 + 1) !== this.#seen;
  }
}
