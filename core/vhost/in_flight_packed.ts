// The notes about requests in flight of a packed ring, which a front-end keeps over the end of its back-end.

import {
  type Chain,
  type DeviceQueue,
  DriverFault,
  type HonestQueue,
  type RingPlace,
  type Taken,
} from "../virtqueue/device_queue.ts";
import { PACKED_WRAP, packedPlaceAfter, packedSlot } from "../virtqueue/packed_place.ts";

// Of a ring (docs/interop/vhost-user.rst, "Inflight I/O tracking", packed virtqueue): offsets of 16 bits, and of 8 bits.
const VERSION = 8, ENTRIES = 10, FREE = 12, OLD_FREE = 14, USED = 16, OLD_USED = 18;
const USED_WRAP = 20, OLD_USED_WRAP = 21;
const HEADER_BYTES = 32;
/** Of a descriptor: whether a request begins with it that is out, its neighbours, when it was taken, and what it says. */
const ENTRY_BYTES = 32, OUT = 0, NEXT = 2, LAST = 4, COUNT = 6, COUNTER = 8;
const ID = 16, FLAGS = 18, LENGTH = 20, ADDRESS = 24;
const ALIGNMENT = 64;
/** The only version that there is. */
const VERSION_1 = 1;

/** Bytes of the notes about a packed ring of so many entries. */
export function packedNotesBytes(entries: number): number {
  return Math.ceil((HEADER_BYTES + ENTRY_BYTES * entries) / ALIGNMENT) * ALIGNMENT;
}

/** A packed ring as the notes are about it. */
export interface NotedRing {
  /** Its memory. */
  readonly memory: SharedArrayBuffer;
  /** Where its descriptors are. */
  readonly descriptors: number;
  /** Number of its entries. */
  readonly size: number;
  /** Whether requests are shown in the order in which they were taken. */
  readonly inOrder: boolean;
}

/**
 * Notes about the requests of a packed ring that a device has taken and not given back, in memory that outlives it. They
 * hold the descriptors themselves: in the ring others are written over them. Entries are free, in a list, or a request's.
 * Whatever stands there is read once and checked, since the other side may write it, too.
 */
export class PackedInFlightNotes {
  /** Where the ring is to be gone on with. */
  readonly place: RingPlace;
  /** The requests that were out, in the order in which they were taken. */
  readonly taken: readonly Taken[];
  readonly #ring: NotedRing;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  /** The first entry of each request that is out, by buffer id, and those that were given back and not shown. */
  readonly #entries = new Map<number, number>();
  readonly #ended = new Set<number>();
  #counter = 1;

  /**
   * Reads the notes, or begins some.
   *
   * @param offset Where they are, a multiple of 4; {@linkcode packedNotesBytes} of them must be there.
   * @param place Where the ring is, if there are no notes yet.
   * @throws DriverFault If they cannot be true.
   */
  constructor(memory: SharedArrayBuffer, offset: number, ring: NotedRing, place: RingPlace) {
    const bytes = packedNotesBytes(ring.size);
    this.#ring = ring;
    this.#bytes = new Uint8Array(memory, offset, bytes);
    this.#halves = new Uint16Array(memory, offset, bytes / 2);
    this.#words = new Uint32Array(memory, offset, bytes / 4);
    if (this.#half(VERSION) !== VERSION_1 || this.#half(ENTRIES) !== ring.size) {
      this.#begin(place);
      this.taken = [];
      this.place = { available: place.used, used: place.used };
      return;
    }
    this.#settle();
    this.taken = this.#find(this.#freeEntries());
    const used = this.#half(USED) | (this.#bytes[USED_WRAP] ? PACKED_WRAP : 0);
    if ((used & ~PACKED_WRAP) >= ring.size) throw untrue(`it is at ${used & ~PACKED_WRAP}`);
    const slots = this.taken.reduce((sum, { descriptors }) => sum + descriptors.length, 0);
    this.place = { available: packedPlaceAfter(used, slots, ring.size), used };
  }

  #half(at: number): number {
    return this.#halves[at / 2]!;
  }

  #setHalf(at: number, value: number): void {
    this.#halves[at / 2] = value;
  }

  #entry(index: number): number {
    return HEADER_BYTES + ENTRY_BYTES * index;
  }

  #begin({ used }: RingPlace): void {
    const { size } = this.#ring;
    this.#bytes.fill(0);
    for (let i = 0; i < size; i++) this.#setHalf(this.#entry(i) + NEXT, i + 1);
    this.#setUsed(used);
    this.#keepOld();
    this.#setHalf(ENTRIES, size);
    this.#setHalf(VERSION, VERSION_1);
  }

  #setUsed(place: number): void {
    this.#setHalf(USED, place & ~PACKED_WRAP);
    this.#bytes[USED_WRAP] = place & PACKED_WRAP ? 1 : 0;
  }

  #keepOld(): void {
    this.#setHalf(OLD_FREE, this.#half(FREE));
    this.#setHalf(OLD_USED, this.#half(USED));
    this.#bytes[OLD_USED_WRAP] = this.#bytes[USED_WRAP]!;
  }

  /** What was under way when the device ended was shown to the driver, or it was not done at all. */
  #settle(): void {
    const old = this.#half(OLD_USED) | (this.#bytes[OLD_USED_WRAP] ? PACKED_WRAP : 0);
    const now = this.#half(USED) | (this.#bytes[USED_WRAP] ? PACKED_WRAP : 0);
    const { memory, descriptors, size } = this.#ring;
    if (now !== old && (old & ~PACKED_WRAP) < size) {
      if (!packedSlot(memory, descriptors, old).available) this.#keepOld();
    }
    this.#setHalf(FREE, this.#half(OLD_FREE));
    this.#setUsed(this.#half(OLD_USED) | (this.#bytes[OLD_USED_WRAP] ? PACKED_WRAP : 0));
  }

  #freeEntries(): Set<number> {
    const free = new Set<number>();
    for (let at = this.#half(FREE); at < this.#ring.size; at = this.#half(this.#entry(at) + NEXT)) {
      if (free.has(at)) throw untrue(`entry ${at} is free twice`);
      free.add(at);
      this.#bytes[this.#entry(at) + OUT] = 0;
    }
    return free;
  }

  #find(seen: Set<number>): Taken[] {
    const found: { first: number; order: number; taken: Taken }[] = [];
    for (let first = 0; first < this.#ring.size; first++) {
      const at = this.#entry(first);
      if (this.#bytes[at + OUT] !== 1) continue;
      const count = this.#half(at + COUNT);
      const descriptors = [];
      for (let i = 0, next = first; i < count; i++, next = this.#half(this.#entry(next) + NEXT)) {
        if (next >= this.#ring.size || seen.has(next)) throw untrue(`entry ${next} is out twice`);
        seen.add(next);
        descriptors.push(this.#descriptor(this.#entry(next)));
      }
      const last = descriptors.at(-1);
      if (!last) throw untrue(`a request of no descriptors is out`);
      found.push({ first, order: this.#order(at), taken: { head: last.id, descriptors } });
    }
    found.sort((a, b) => a.order - b.order);
    for (const { first, taken: { head } } of found) {
      if (this.#entries.has(head)) throw untrue(`buffer ${head} is out twice`);
      this.#entries.set(head, first);
    }
    this.#counter = (found.at(-1)?.order ?? 0) + 1;
    if (this.#counter > Number.MAX_SAFE_INTEGER / 2) this.#counter = 1;
    return found.map(({ taken }) => taken);
  }

  #order(at: number): number {
    return this.#words[(at + COUNTER) / 4]! + this.#words[(at + COUNTER) / 4 + 1]! * 2 ** 32;
  }

  #descriptor(at: number) {
    const word = (offset: number) => this.#words[(at + offset) / 4]!;
    return {
      address: word(ADDRESS) + word(ADDRESS + 4) * 2 ** 32,
      length: word(LENGTH),
      id: this.#half(at + ID),
      flags: this.#half(at + FLAGS),
    };
  }

  /** Keeps the notes about a queue while it takes requests and gives them back. */
  keep(honest: HonestQueue): DeviceQueue {
    return {
      size: honest.size,
      take: (chain: Chain) => {
        const { available } = honest.place;
        if (!honest.take(chain)) return false;
        this.#take(chain.head, available, honest.place.available);
        return true;
      },
      put: (head, written) => {
        this.#ended.add(head);
        honest.put(head, written);
      },
      publish: () => {
        const shown = this.#hand();
        const wanted = honest.publish();
        for (const first of shown) this.#bytes[this.#entry(first) + OUT] = 0;
        // Read back: it is what the driver sees now.
        this.#setUsed(honest.place.used);
        this.#keepOld();
        return wanted;
      },
      arm: () => honest.arm(),
    };
  }

  #take(head: number, from: number, to: number): void {
    const { memory, descriptors, size } = this.#ring;
    const first = this.#half(OLD_FREE);
    let entry = first, last = first, count = 0;
    // One that fills the ring ends where it begins.
    for (let place = from; count === 0 || place !== to; place = packedPlaceAfter(place, 1, size)) {
      if (entry >= size) throw new DriverFault(`More than ${size} descriptors are out`);
      const at = this.#entry(entry);
      const { words, flags, id } = packedSlot(memory, descriptors, place);
      this.#words.set(words.subarray(0, 2), (at + ADDRESS) / 4);
      this.#words[(at + LENGTH) / 4] = words[2]!;
      this.#setHalf(at + ID, id);
      this.#setHalf(at + FLAGS, flags);
      count++;
      last = entry;
      entry = this.#half(at + NEXT);
    }
    const at = this.#entry(first);
    // As it was taken, whatever the driver writes there meanwhile.
    this.#setHalf(this.#entry(last) + ID, head);
    this.#setHalf(at + LAST, last);
    this.#setHalf(at + COUNT, count);
    const counter = this.#counter++;
    this.#words[(at + COUNTER) / 4] = counter;
    this.#words[(at + COUNTER) / 4 + 1] = Math.floor(counter / 2 ** 32);
    this.#bytes[at + OUT] = 1;
    this.#setHalf(FREE, entry);
    this.#setHalf(OLD_FREE, entry);
    this.#entries.set(head, first);
  }

  /** Frees the entries of all that is to be shown now. Returns the first of each request. */
  #hand(): number[] {
    const shown: number[] = [];
    let slots = 0;
    for (const [head, first] of this.#entries) {
      if (this.#ended.delete(head)) {
        const at = this.#entry(first);
        this.#setHalf(this.#entry(this.#half(at + LAST)) + NEXT, this.#half(FREE));
        this.#setHalf(FREE, first);
        slots += this.#half(at + COUNT);
        this.#entries.delete(head);
        shown.push(first);
      } else if (this.#ring.inOrder) break;
    }
    // What a device that lies gives back is nowhere.
    if (!this.#ring.inOrder) this.#ended.clear();
    const used = this.#half(USED) | (this.#bytes[USED_WRAP] ? PACKED_WRAP : 0);
    this.#setUsed(packedPlaceAfter(used, slots, this.#ring.size));
    return shown;
  }
}

function untrue(why: string): DriverFault {
  return new DriverFault(`The notes about requests in flight cannot be true: ${why}`);
}
