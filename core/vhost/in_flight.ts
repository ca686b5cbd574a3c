// The notes about requests in flight, which a front-end keeps over the end of its back-end.

import type {
  Chain,
  DeviceQueue,
  HonestQueue,
  RingPlace,
  Taken,
} from "../virtqueue/device_queue.ts";

// Of a ring (docs/interop/vhost-user.rst, "Inflight I/O tracking", split virtqueue): offsets of 16 bits each.
const VERSION = 8, ENTRIES = 10, LAST_OF_BATCH = 12, USED = 14;
const HEADER_BYTES = 16;
/** Of a descriptor: whether it is out, the next of its batch, and when it was taken. */
const ENTRY_BYTES = 16, OUT = 0, NEXT = 6, COUNTER = 8;
const ALIGNMENT = 64;
/** The only version that there is. */
const VERSION_1 = 1;

/** Bytes of the notes about a ring of so many entries. */
export function notesBytes(entries: number): number {
  return Math.ceil((HEADER_BYTES + ENTRY_BYTES * entries) / ALIGNMENT) * ALIGNMENT;
}

/**
 * Notes about the requests of a split ring that a device has taken and not given back, in memory that outlives it: the
 * next one finds what was out. Whatever stands there is read once and checked, since the other side may write it, too.
 */
export class InFlightNotes {
  /** Where the ring is to be gone on with. */
  readonly place: RingPlace;
  /** The requests that were out, in the order in which they were taken. */
  readonly taken: readonly Taken[];
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #entries: number;
  #counter = 0;

  /**
   * Reads the notes, or begins some.
   *
   * @param offset Where they are, a multiple of 4; {@linkcode notesBytes} of them must be there.
   * @param used The used index of the ring.
   */
  constructor(memory: SharedArrayBuffer, offset: number, entries: number, used: number) {
    const bytes = notesBytes(entries);
    this.#bytes = new Uint8Array(memory, offset, bytes);
    this.#halves = new Uint16Array(memory, offset, bytes / 2);
    this.#words = new Uint32Array(memory, offset, bytes / 4);
    this.#entries = entries;
    if (this.#half(VERSION) !== VERSION_1 || this.#half(ENTRIES) !== entries) {
      this.#bytes.fill(0);
      this.#halves[VERSION / 2] = VERSION_1;
      this.#halves[ENTRIES / 2] = entries;
    } else this.#forgetShown(used - this.#half(USED) & 0xffff);
    this.#halves[USED / 2] = used;
    this.taken = this.#find();
    this.place = { available: used + this.taken.length & 0xffff, used };
  }

  #half(at: number): number {
    return this.#halves[at / 2]!;
  }

  #entry(head: number): number {
    return HEADER_BYTES + ENTRY_BYTES * head;
  }

  /** It ended after it had shown so many requests as used, and before it could note that. */
  #forgetShown(shown: number): void {
    let head = this.#half(LAST_OF_BATCH);
    for (let i = 0; i < Math.min(shown, this.#entries) && head < this.#entries; i++) {
      const at = this.#entry(head);
      this.#bytes[at + OUT] = 0;
      head = this.#half(at + NEXT);
    }
  }

  #find(): Taken[] {
    const taken = new Map<number, number>();
    for (let head = 0; head < this.#entries; head++) {
      const at = this.#entry(head);
      if (this.#bytes[at + OUT] !== 1) continue;
      const counter = (at + COUNTER) / 4;
      taken.set(head, this.#words[counter]! + this.#words[counter + 1]! * 2 ** 32);
    }
    this.#counter = Math.max(0, ...taken.values()) + 1;
    if (this.#counter > Number.MAX_SAFE_INTEGER / 2) this.#counter = 1;
    return [...taken].sort(([, a], [, b]) => a - b).map(([head]) => ({ head, descriptors: [] }));
  }

  /** Keeps the notes about a queue while it takes requests and gives them back. */
  keep(honest: HonestQueue): DeviceQueue {
    const batch = new Uint16Array(65536);
    let count = 0;
    return {
      size: honest.size,
      take: (chain: Chain) => {
        if (!honest.take(chain)) return false;
        this.#take(chain.head);
        return true;
      },
      put: (head, written) => {
        if (count < batch.length) batch[count++] = head;
        this.#put(head);
        honest.put(head, written);
      },
      publish: () => {
        const wanted = honest.publish();
        // Read back: it is what the driver sees now.
        this.#shown(batch, count, honest.place.used);
        count = 0;
        return wanted;
      },
      arm: () => honest.arm(),
    };
  }

  #take(head: number): void {
    const at = this.#entry(head);
    const counter = this.#counter++;
    this.#words[(at + COUNTER) / 4] = counter;
    this.#words[(at + COUNTER) / 4 + 1] = Math.floor(counter / 2 ** 32);
    this.#bytes[at + OUT] = 1;
  }

  #put(head: number): void {
    if (head >= this.#entries) return;
    this.#halves[(this.#entry(head) + NEXT) / 2] = this.#half(LAST_OF_BATCH);
    this.#halves[LAST_OF_BATCH / 2] = head;
  }

  #shown(batch: Uint16Array, count: number, used: number): void {
    for (let i = 0; i < count; i++) {
      const head = batch[i]!;
      if (head < this.#entries) this.#bytes[this.#entry(head) + OUT] = 0;
    }
    this.#halves[USED / 2] = used;
  }
}
