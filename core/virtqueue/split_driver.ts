import type { AddressTable } from "../dma/address_table.ts";
import { PAGE, PAGE_SHIFT } from "../dma/address_table.ts";
import { INDIRECT, NEXT, QUIET, WORDS, WRITE } from "./descriptor.ts";
import { passed } from "./event_index.ts";
import { DESCRIPTOR_BYTES, type QueueLayout } from "./layout.ts";
import type { QueueCounters, QueueFault, Virtqueue } from "./virtqueue.ts";

/** What the driver side of a split virtqueue stands on. */
export interface SplitDriverOptions {
  /** The arena. */
  readonly memory: SharedArrayBuffer;
  /** Where the ring's parts are in it. They must be zero. */
  readonly layout: QueueLayout;
  /** What the device calls the arena's pages. */
  readonly addresses: AddressTable;
  /** Whether VIRTIO_F_EVENT_IDX was agreed. */
  readonly eventIndex: boolean;
  /** Notifies the device. */
  readonly notify: () => void;
}

/**
 * The driver side of a split virtqueue (virtio 1.4, 2.7).
 *
 * The device can write to all of the ring, so nothing that this class relies on is kept there: free list, chain
 * ends, lengths and cookies are private. From the device it takes the used index once a batch and each used element
 * once, and checks both before use.
 */
export class SplitDriver implements Virtqueue {
  readonly size: number;
  readonly counters: QueueCounters = { published: 0, completed: 0, notifications: 0, overlong: 0 };

  // Words are signed where only their bits matter: V8 moves those without a detour through floating point.
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #addresses: AddressTable;
  readonly #bytes: number;
  /** Bytes of the arena whose addresses are the first one plus an offset, without a carry: all or none. */
  readonly #plain: number;
  readonly #low: number;
  readonly #high: number;
  readonly #mask: number;
  readonly #eventIndex: boolean;
  readonly #notify: () => void;

  // Places in the ring: of 32-bit words for descriptors and used elements, of 16-bit halves for the rest.
  readonly #descriptors: number;
  readonly #availableFlags: number;
  readonly #availableIndex: number;
  readonly #availableRing: number;
  readonly #usedEvent: number;
  readonly #usedFlags: number;
  readonly #usedIndex: number;
  readonly #usedRing: number;
  readonly #availableEvent: number;

  /** Offset of the indirect tables in the arena; −1 without them. */
  readonly #tables: number;
  readonly #segments: number;
  /** Successors in an indirect table: the descriptors stand in their order. */
  readonly #sequence: Uint16Array<ArrayBuffer>;
  /** Successors in the ring's own table: of a free descriptor the next free one, else the next of its chain. */
  readonly #next: Uint16Array<ArrayBuffer>;
  /**
   * For each head of a chain in flight, {@linkcode CHAIN} words; a chain that is not in flight takes no descriptors.
   * Behind them the record of the request that is being built.
   */
  readonly #chains: Int32Array<ArrayBuffer>;
  readonly #building: number;
  #firstFree = 0;
  #free: number;
  #inFlight = 0;

  // The request that is being built: the table that it stands in, the next descriptor there, and room for more.
  #table = 0;
  #order: Uint16Array<ArrayBuffer>;
  #at = 0;
  #room = 0;
  #count = 0;
  #last = 0;

  #available = 0;
  #published = 0;
  #used = 0;
  #broken: QueueFault | undefined;

  constructor(options: SplitDriverOptions) {
    const { layout, addresses, memory } = options;
    const { size } = layout;
    this.size = size;
    this.#halves = new Uint16Array(memory);
    this.#words = new Int32Array(memory);
    this.#addresses = addresses;
    this.#bytes = Math.min(memory.byteLength, addresses.low.length * PAGE);
    this.#low = addresses.low[0]! | 0;
    this.#high = addresses.high[0]! | 0;
    const whole = addresses.run[0]! >= this.#bytes && addresses.low[0]! + this.#bytes <= 2 ** 32;
    this.#plain = whole ? this.#bytes : 0;
    this.#mask = size - 1;
    this.#eventIndex = options.eventIndex;
    this.#notify = options.notify;

    this.#descriptors = layout.descriptors / 4;
    this.#availableFlags = layout.driver / 2;
    this.#availableIndex = this.#availableFlags + 1;
    this.#availableRing = this.#availableFlags + 2;
    this.#usedEvent = this.#availableRing + size;
    this.#usedFlags = layout.device / 2;
    this.#usedIndex = this.#usedFlags + 1;
    this.#usedRing = layout.device / 4 + 1;
    this.#availableEvent = this.#usedFlags + 2 + 4 * size;

    this.#tables = layout.indirect ?? -1;
    this.#segments = layout.segments;
    this.#sequence = Uint16Array.from({ length: layout.segments }, (_, i) => i + 1);
    this.#next = Uint16Array.from({ length: size }, (_, i) => i + 1 & this.#mask);
    this.#building = size * CHAIN;
    this.#chains = new Int32Array(this.#building + CHAIN);
    this.#order = this.#next;
    this.#free = size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get broken(): QueueFault | undefined {
    return this.#broken;
  }

  begin(cookie: number): void {
    const head = this.#firstFree;
    this.#chains[this.#building + COOKIE] = cookie;
    this.#chains[this.#building + WRITABLE] = 0;
    this.#count = 0;
    if (this.#tables < 0) {
      this.#table = this.#descriptors;
      this.#order = this.#next;
      this.#at = head;
      this.#room = this.#free;
    } else {
      this.#table = (this.#tables >> 2) + head * this.#segments * WORDS;
      this.#order = this.#sequence;
      this.#at = 0;
      this.#room = this.#free === 0 ? 0 : this.#segments;
    }
  }

  readable(offset: number, length: number): void {
    if (this.#chains[this.#building + WRITABLE]! > 0) {
      throw new Error("Cannot add a readable buffer: it follows a writable one");
    }
    this.#add(offset, length, NEXT);
  }

  writable(offset: number, length: number): void {
    this.#chains[this.#building + WRITABLE]! += length;
    this.#add(offset, length, NEXT | WRITE);
  }

  #add(offset: number, length: number, flags: number): void {
    if (offset >= 0 && length > 0 && offset + length <= this.#plain) {
      this.#put(this.#low + offset, this.#high, length, flags);
    } else this.#addPieces(offset, length, flags);
  }

  /** Adds a buffer of an arena that consists of several runs: a descriptor for each that it touches. */
  #addPieces(offset: number, length: number, flags: number): void {
    if (!(offset >= 0 && length > 0 && offset + length <= this.#bytes)) {
      throw new RangeError(
        `Cannot add ${length} bytes at ${offset}: the arena has ${this.#bytes} bytes`,
      );
    }
    const { low, high, run } = this.#addresses;
    while (length > 0) {
      const page = offset >>> PAGE_SHIFT;
      const inPage = offset & (PAGE - 1);
      const part = Math.min(length, run[page]! - inPage);
      this.#put(low[page]! + inPage, high[page]!, part, flags);
      offset += part;
      length -= part;
    }
  }

  #put(low: number, high: number, length: number, flags: number): void {
    if (this.#room <= 0) {
      this.#room = -1;
      return;
    }
    const descriptor = this.#at;
    const next = this.#order[descriptor]!;
    const at = this.#table + descriptor * WORDS;
    const words = this.#words;
    words[at] = low;
    words[at + 1] = high;
    words[at + 2] = length;
    words[at + 3] = flags | next << 16;
    this.#at = next;
    this.#last = descriptor;
    this.#room--;
    this.#count++;
  }

  commit(): boolean {
    const count = this.#count;
    if (this.#room < 0) {
      if (this.#inFlight > 0) return false;
      throw new RangeError(`Cannot commit a request: it has more than ${count} buffers`);
    }
    if (count === 0) throw new Error("Cannot commit a request without a buffer");
    if (this.#broken) return false;
    const head = this.#firstFree;
    const chain = head * CHAIN;
    const chains = this.#chains;
    const writable = chains[this.#building + WRITABLE]!;
    this.#words[this.#table + this.#last * WORDS + 3] = writable > 0 ? WRITE : 0;
    let tail = this.#last;
    let taken = count;
    if (this.#tables >= 0) {
      this.#pointToTable(head, count);
      tail = head;
      taken = 1;
    }
    chains[chain + EXTENT] = taken << 16 | tail;
    chains[chain + WRITABLE] = writable;
    chains[chain + COOKIE] = chains[this.#building + COOKIE]!;
    this.#firstFree = this.#next[tail]!;
    this.#free -= taken;
    this.#inFlight++;
    const available = this.#available;
    this.#halves[this.#availableRing + (available & this.#mask)] = head;
    this.#available = available + 1 & 0xffff;
    return true;
  }

  /** Makes a descriptor of the ring stand for the table that belongs to it, or for the only descriptor in there. */
  #pointToTable(head: number, count: number): void {
    const words = this.#words;
    const entry = this.#descriptors + head * WORDS;
    if (count === 1) {
      words.copyWithin(entry, this.#table, this.#table + WORDS);
      return;
    }
    const offset = this.#table * 4;
    const page = offset >>> PAGE_SHIFT;
    words[entry] = this.#addresses.low[page]! + (offset & (PAGE - 1));
    words[entry + 1] = this.#addresses.high[page]!;
    words[entry + 2] = count * DESCRIPTOR_BYTES;
    words[entry + 3] = INDIRECT;
  }

  publish(): void {
    const before = this.#published;
    const now = this.#available;
    if (now === before) return;
    this.#published = now;
    this.counters.published += now - before & 0xffff;
    // The store is a full barrier on both sides: descriptors before index, index before the device's wishes.
    Atomics.store(this.#halves, this.#availableIndex, now);
    const wanted = this.#eventIndex
      ? passed(Atomics.load(this.#halves, this.#availableEvent), now, before)
      : (Atomics.load(this.#halves, this.#usedFlags) & QUIET) === 0;
    if (wanted) {
      this.counters.notifications++;
      this.#notify();
    }
  }

  drain(collect: (cookie: number, written: number) => void): number {
    if (this.#broken) return 0;
    let used = this.#used;
    const count = Atomics.load(this.#halves, this.#usedIndex) - used & 0xffff;
    if (count === 0) return 0;
    if (count > this.#inFlight) {
      this.#fail(
        "D-48",
        `moved the used index by ${count} with ${this.#inFlight} requests in flight`,
      );
      return 0;
    }
    const words = this.#words;
    const chains = this.#chains;
    for (let i = 0; i < count; i++) {
      const at = this.#usedRing + (used & this.#mask) * 2;
      const head = words[at]! >>> 0;
      let written = words[at + 1]! >>> 0;
      if (head >= this.size) {
        this.#fail("D-41", `used descriptor ${head} of a queue of ${this.size}`);
        return i;
      }
      const chain = head * CHAIN;
      const extent = chains[chain + EXTENT]!;
      if (extent === 0) {
        this.#fail("D-42", `used descriptor ${head}, which heads no request in flight`);
        return i;
      }
      if (written > chains[chain + WRITABLE]!) {
        written = chains[chain + WRITABLE]!;
        this.counters.overlong++;
      }
      chains[chain + EXTENT] = 0;
      this.#next[extent & 0xffff] = this.#firstFree;
      this.#firstFree = head;
      this.#free += extent >>> 16;
      this.#inFlight--;
      used = used + 1 & 0xffff;
      this.#used = used;
      this.counters.completed++;
      // Last, since it may begin the next request.
      collect(chains[chain + COOKIE]! >>> 0, written);
    }
    return count;
  }

  arm(): boolean {
    if (this.#broken) return false;
    if (this.#eventIndex) Atomics.store(this.#halves, this.#usedEvent, this.#used);
    else Atomics.store(this.#halves, this.#availableFlags, 0);
    return Atomics.load(this.#halves, this.#usedIndex) !== this.#used;
  }

  #fail(rule: string, what: string): void {
    this.#broken = { rule, what };
  }
}

/** Words of a chain's record: descriptors taken and the last of them, writable bytes, cookie. */
const CHAIN = 4, EXTENT = 0, WRITABLE = 1, COOKIE = 2;
