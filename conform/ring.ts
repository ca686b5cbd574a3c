import { INDIRECT, NEXT, WORDS, WRITE } from "../core/virtqueue/descriptor.ts";
import { DESCRIPTOR_BYTES } from "../core/virtqueue/layout.ts";

/** A descriptor as it is written, right or wrong. */
export interface Descriptor {
  /** The device's address of the buffer. */
  readonly address: number;
  readonly length: number;
  readonly flags: number;
  readonly next?: number;
}

/** A part of a request: bytes of the arena. */
export interface Part {
  /** First byte in the arena. */
  readonly offset: number;
  readonly length: number;
  /** Whether the device writes it. */
  readonly write: boolean;
}

/** Where the three areas of a ring lie in the arena. */
export interface RingPlace {
  readonly size: number;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

/** What a place in the used ring has before the device writes there: no descriptor has this number. */
export const UNWRITTEN = 0xffffffff;

/**
 * A split ring whose driver side is written by hand, so that it can be written wrongly, too (virtio 1.4, 2.7). It believes
 * nothing and throws nothing: what the device did is looked at by the checks.
 */
export class RawRing implements RingPlace {
  readonly size: number;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  /** Its number among the device's queues. */
  readonly queue: number;
  /** The index that is shown to the device when the next request is published. */
  next = 0;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #address: (offset: number) => number;

  constructor(
    queue: number,
    { size, descriptors, driver, device }: RingPlace,
    memory: SharedArrayBuffer,
    address: (offset: number) => number,
  ) {
    this.queue = queue;
    this.size = size;
    this.descriptors = descriptors;
    this.driver = driver;
    this.device = device;
    this.#words = new Uint32Array(memory);
    this.#halves = new Uint16Array(memory);
    this.#address = address;
    for (let i = 0; i < size; i++) this.#words[device / 4 + 1 + 2 * i] = UNWRITTEN;
  }

  /** Writes a descriptor into a table, that of the ring if none is named. */
  put(
    index: number,
    { address, length, flags, next = 0 }: Descriptor,
    table = this.descriptors,
  ): void {
    const at = table / 4 + index * WORDS;
    this.#words[at] = address % 2 ** 32;
    this.#words[at + 1] = Math.floor(address / 2 ** 32);
    this.#words[at + 2] = length;
    this.#words[at + 3] = flags | next << 16;
  }

  /** Writes a chain from descriptor `head` on. Returns how many it took. */
  chain(head: number, parts: readonly Part[], table = this.descriptors): number {
    parts.forEach(({ offset, length, write }, i) => {
      const last = i === parts.length - 1;
      this.put(head + i, {
        address: this.#address(offset),
        length,
        flags: (write ? WRITE : 0) | (last ? 0 : NEXT),
        next: last ? 0 : head + i + 1,
      }, table);
    });
    return parts.length;
  }

  /** Writes a chain into a table of its own, and a descriptor for that. */
  indirect(head: number, parts: readonly Part[], table: number): void {
    this.chain(0, parts, table);
    const length = parts.length * DESCRIPTOR_BYTES;
    this.put(head, { address: this.#address(table), length, flags: INDIRECT });
  }

  /** Puts a head into the available ring, without showing it. */
  offer(head: number): void {
    this.#halves[this.driver / 2 + 2 + this.next % this.size] = head;
    this.next = this.next + 1 & 0xffff;
  }

  /** Shows all that was offered, or any other index. */
  publish(index: number = this.next): void {
    Atomics.store(this.#halves, this.driver / 2 + 1, index & 0xffff);
  }

  /** The driver's flags: 1 asks for no interrupts. */
  set flags(value: number) {
    Atomics.store(this.#halves, this.driver / 2, value);
  }

  /** Asks for an interrupt when this one is used; with VIRTIO_F_EVENT_IDX. */
  set usedEvent(index: number) {
    Atomics.store(this.#halves, this.driver / 2 + 2 + this.size, index & 0xffff);
  }

  /** The device's flags: 1 asks for no notifications. */
  get usedFlags(): number {
    return Atomics.load(this.#halves, this.device / 2);
  }

  /** With VIRTIO_F_EVENT_IDX: which request the device wants to be notified of. */
  get availableEvent(): number {
    return Atomics.load(this.#halves, this.device / 2 + 2 + 4 * this.size);
  }

  /** How far the device has come. */
  get used(): number {
    return Atomics.load(this.#halves, this.device / 2 + 1);
  }

  /** A used element: the descriptor that the device gave back, and how much it says it wrote. */
  element(index: number): { readonly id: number; readonly written: number } {
    const at = this.device / 4 + 1 + 2 * (index % this.size);
    return { id: this.#words[at]!, written: this.#words[at + 1]! };
  }

  /** Forgets an element, so that it is seen whether the device writes it anew. */
  forget(index: number): void {
    this.#words[this.device / 4 + 1 + 2 * (index % this.size)] = UNWRITTEN;
  }

  /** What the device must not write: the descriptors and the available ring. */
  owned(): Uint8Array {
    const bytes = new Uint8Array(this.#words.buffer);
    const end = this.driver + 4 + 2 * this.size;
    return bytes.slice(this.descriptors, end);
  }
}
