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

  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #low: Uint32Array;
  readonly #high: Uint32Array;
  readonly #run: Uint32Array;
  readonly #bytes: number;
  readonly #mask: number;
  readonly #eventIndex: boolean;
  readonly #notify: () => void;
  readonly #limit: number;

  // Places in the ring: of 32-bit words for tables and used elements, of 16-bit halves for the rest.
  readonly #descriptors: number;
  readonly #tables: number;
  readonly #tableWords: number;
  readonly #tablesOffset: number;
  readonly #availableFlags: number;
  readonly #availableIndex: number;
  readonly #availableRing: number;
  readonly #usedEvent: number;
  readonly #usedFlags: number;
  readonly #usedIndex: number;
  readonly #usedRing: number;
  readonly #availableEvent: number;

  // For each descriptor its successor in the free list or chain; for each head of a chain in flight the rest.
  // A chain that is not in flight has no descriptors.
  readonly #next: Uint16Array;
  readonly #tail: Uint16Array;
  readonly #taken: Uint16Array;
  readonly #writable: Float64Array;
  readonly #cookie: Uint32Array;
  #firstFree = 0;
  #free: number;
  #inFlight = 0;

  // The request that is being built.
  #buildingCookie = 0;
  #buildingCount = 0;
  #buildingWritable = 0;
  #buildingLast = 0;
  #buildingAt = 0;
  #full = false;

  #available = 0;
  #published = 0;
  #used = 0;
  #broken: QueueFault | undefined;

  constructor(options: SplitDriverOptions) {
    const { layout, addresses, memory } = options;
    const { size } = layout;
    this.size = size;
    this.#halves = new Uint16Array(memory);
    this.#words = new Uint32Array(memory);
    this.#low = addresses.low;
    this.#high = addresses.high;
    this.#run = addresses.run;
    this.#bytes = Math.min(memory.byteLength, addresses.low.length * PAGE);
    this.#mask = size - 1;
    this.#eventIndex = options.eventIndex;
    this.#notify = options.notify;
    this.#limit = layout.indirect === undefined ? size : layout.segments;

    this.#descriptors = layout.descriptors / 4;
    this.#tablesOffset = layout.indirect ?? -1;
    this.#tables = (layout.indirect ?? 0) / 4;
    this.#tableWords = layout.segments * WORDS;
    this.#availableFlags = layout.driver / 2;
    this.#availableIndex = this.#availableFlags + 1;
    this.#availableRing = this.#availableFlags + 2;
    this.#usedEvent = this.#availableRing + size;
    this.#usedFlags = layout.device / 2;
    this.#usedIndex = this.#usedFlags + 1;
    this.#usedRing = layout.device / 4 + 1;
    this.#availableEvent = this.#usedFlags + 2 + 4 * size;

    this.#next = new Uint16Array(size);
    for (let i = 0; i < size; i++) this.#next[i] = i + 1 & this.#mask;
    this.#tail = new Uint16Array(size);
    this.#taken = new Uint16Array(size);
    this.#writable = new Float64Array(size);
    this.#cookie = new Uint32Array(size);
    this.#free = size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get broken(): QueueFault | undefined {
    return this.#broken;
  }

  begin(cookie: number): void {
    this.#buildingCookie = cookie;
    this.#buildingCount = 0;
    this.#buildingWritable = 0;
    // A chain stands in the ring's own table, along the free list, or in the table that belongs to its head.
    this.#buildingAt = this.#firstFree;
    this.#full = this.#free === 0;
  }

  readable(offset: number, length: number): void {
    if (this.#buildingWritable > 0) {
      throw new Error("Cannot add a readable buffer: it follows a writable one");
    }
    this.#add(offset, length, 0);
  }

  writable(offset: number, length: number): void {
    this.#add(offset, length, WRITE);
    this.#buildingWritable += length;
  }

  #add(offset: number, length: number, flag: number): void {
    if (!(offset >= 0 && length > 0 && offset + length <= this.#bytes)) {
      throw new RangeError(
        `Cannot add ${length} bytes at ${offset}: the arena has ${this.#bytes} bytes`,
      );
    }
    const words = this.#words;
    const indirect = this.#tablesOffset >= 0;
    const most = indirect ? this.#limit : this.#free;
    while (length > 0) {
      if (this.#full || this.#buildingCount >= most) {
        this.#full = true;
        return;
      }
      const page = offset >>> PAGE_SHIFT;
      const inPage = offset & (PAGE - 1);
      let part = this.#run[page]! - inPage;
      if (part > length) part = length;
      const descriptor = this.#buildingAt;
      let at: number;
      let next: number;
      if (indirect) {
        next = this.#buildingCount + 1;
        at = this.#tables + this.#firstFree * this.#tableWords + this.#buildingCount * WORDS;
      } else {
        next = this.#next[descriptor]!;
        at = this.#descriptors + descriptor * WORDS;
        this.#buildingLast = descriptor;
        this.#buildingAt = next;
      }
      words[at] = this.#low[page]! + inPage;
      words[at + 1] = this.#high[page]!;
      words[at + 2] = part;
      words[at + 3] = flag | NEXT | next << 16;
      this.#buildingCount++;
      offset += part;
      length -= part;
    }
  }

  commit(): boolean {
    if (this.#full) {
      if (this.#inFlight === 0) {
        throw new RangeError(`Cannot commit a request: it has more than ${this.#limit} buffers`);
      }
      return false;
    }
    if (this.#broken) return false;
    const count = this.#buildingCount;
    if (count === 0) throw new Error("Cannot commit a request without a buffer");
    const words = this.#words;
    const head = this.#firstFree;
    let taken = count;
    let tail = this.#buildingLast;
    if (this.#tablesOffset < 0) {
      words[this.#descriptors + tail * WORDS + 3]! &= WRITE;
    } else {
      const table = this.#tables + head * this.#tableWords;
      const entry = this.#descriptors + head * WORDS;
      taken = 1;
      tail = head;
      words[table + (count - 1) * WORDS + 3]! &= WRITE;
      if (count === 1) {
        words[entry] = words[table]!;
        words[entry + 1] = words[table + 1]!;
        words[entry + 2] = words[table + 2]!;
        words[entry + 3] = words[table + 3]!;
      } else {
        const offset = this.#tablesOffset + head * this.#tableWords * 4;
        const page = offset >>> PAGE_SHIFT;
        words[entry] = this.#low[page]! + (offset & (PAGE - 1));
        words[entry + 1] = this.#high[page]!;
        words[entry + 2] = count * DESCRIPTOR_BYTES;
        words[entry + 3] = INDIRECT;
      }
    }
    this.#firstFree = this.#next[tail]!;
    this.#free -= taken;
    this.#inFlight++;
    this.#tail[head] = tail;
    this.#taken[head] = taken;
    this.#writable[head] = this.#buildingWritable;
    this.#cookie[head] = this.#buildingCookie;
    this.#halves[this.#availableRing + (this.#available & this.#mask)] = head;
    this.#available = this.#available + 1 & 0xffff;
    return true;
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
      return this.#fail(
        "D-48",
        `moved the used index by ${count} with ${this.#inFlight} requests in flight`,
      );
    }
    const words = this.#words;
    for (let i = 0; i < count; i++) {
      const at = this.#usedRing + (used & this.#mask) * 2;
      const head = words[at]!;
      let written = words[at + 1]!;
      if (head >= this.size) {
        return this.#fail("D-41", `used descriptor ${head} of a queue of ${this.size}`);
      }
      const taken = this.#taken[head]!;
      if (taken === 0) {
        return this.#fail("D-42", `used descriptor ${head}, which heads no request in flight`);
      }
      if (written > this.#writable[head]!) {
        written = this.#writable[head]!;
        this.counters.overlong++;
      }
      this.#taken[head] = 0;
      this.#next[this.#tail[head]!] = this.#firstFree;
      this.#firstFree = head;
      this.#free += taken;
      this.#inFlight--;
      used = used + 1 & 0xffff;
      this.#used = used;
      this.counters.completed++;
      collect(this.#cookie[head]!, written);
    }
    return count;
  }

  arm(): boolean {
    if (this.#broken) return false;
    if (this.#eventIndex) Atomics.store(this.#halves, this.#usedEvent, this.#used);
    else Atomics.store(this.#halves, this.#availableFlags, 0);
    return Atomics.load(this.#halves, this.#usedIndex) !== this.#used;
  }

  #fail(rule: string, what: string): number {
    this.#broken = { rule, what };
    return 0;
  }
}
