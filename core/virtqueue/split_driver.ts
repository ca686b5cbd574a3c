import * as descriptor from "./descriptor.ts";
import { DriverRing, type DriverRingOptions } from "./driver_ring.ts";
import { passed } from "./event_index.ts";
import { DESCRIPTOR_BYTES } from "./layout.ts";

const { INDIRECT, QUIET, WORDS, WRITE } = descriptor;

/**
 * The driver side of a split virtqueue (virtio 1.4, 2.7).
 *
 * A request's id is the first of its descriptors in the ring's table. From the device the driver takes the used
 * index once a batch and each used element once.
 */
export class SplitDriver extends DriverRing {
  readonly #mask: number = 0;

  // Places in the ring: of 32-bit words for descriptors and used elements, of 16-bit halves for the rest.
  readonly #descriptors: number = 0;
  readonly #availableFlags: number = 0;
  readonly #availableIndex: number = 0;
  readonly #availableRing: number = 0;
  readonly #usedEvent: number = 0;
  readonly #usedFlags: number = 0;
  readonly #usedIndex: number = 0;
  readonly #usedRing: number = 0;
  readonly #availableEvent: number = 0;

  /** Offset of the indirect tables in the arena; −1 without them. */
  readonly #tables: number = 0;
  readonly #segments: number = 0;
  /**
   * Successors in the ring's own table: of a free descriptor the next free one, else the next of its chain. Where the
   * device uses requests in order it never changes: descriptors are then taken in the order of the table (2.7.5).
   */
  readonly #next: Uint16Array<ArrayBuffer>;
  #firstFree = 0;

  /** Successors where requests are built. */
  readonly #order: Uint16Array<ArrayBuffer>;
  // The request that is being built: the table that it stands in, the next descriptor there and the last one.
  #table = 0;
  #at = 0;
  #last = 0;

  #used = 0;

  constructor(options: DriverRingOptions) {
    super(options);
    const { layout, size } = this;
    this.#mask = size - 1;
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
    this.#next = Uint16Array.from({ length: size }, (_, i) => i + 1 & this.#mask);
    this.#table = this.#descriptors;
    // In an indirect table the descriptors stand in their order.
    const sequence = () => Uint16Array.from({ length: layout.segments }, (_, i) => i + 1);
    this.#order = this.#tables < 0 ? this.#next : sequence();
  }

  begin(cookie: number): void {
    const head = this.#firstFree;
    this.cookie = cookie;
    this.bytes = 0;
    if (this.#tables >= 0) return this.#beginTable(head);
    this.#at = head;
    this.limit = this.room = this.free;
  }

  #beginTable(head: number): void {
    this.#table = (this.#tables >> 2) + head * this.#segments * WORDS;
    this.#at = 0;
    this.limit = this.room = this.free === 0 ? 0 : this.#segments;
  }

  protected put(low: number, high: number, length: number, flags: number): void {
    if (this.room <= 0) {
      this.room = -1;
      return;
    }
    const descriptor = this.#at;
    const next = this.#order[descriptor]!;
    const at = this.#table + descriptor * WORDS;
    const words = this.words;
    words[at] = low;
    words[at + 1] = high;
    words[at + 2] = length;
    words[at + 3] = flags | next << 16;
    this.#at = next;
    this.#last = descriptor;
    this.room--;
  }

  commit(): boolean {
    if (!this.fits()) return false;
    const head = this.#firstFree;
    this.words[this.#table + this.#last * WORDS + 3] = this.bytes > 0 ? WRITE : 0;
    let tail = this.#last;
    let taken = this.limit - this.room;
    if (this.#tables >= 0) {
      this.#pointToTable(head, taken);
      this.#at = this.#next[head]!;
      tail = head;
      taken = 1;
    }
    this.#firstFree = this.#at;
    this.halves[this.#availableRing + (this.committed & this.#mask)] = head | 0;
    this.enter(head, taken, tail);
    return true;
  }

  /** Makes a descriptor of the ring stand for the table that belongs to it, or for the only descriptor in there. */
  #pointToTable(head: number, count: number): void {
    const words = this.words;
    const entry = this.#descriptors + head * WORDS;
    if (count === 1) {
      words.copyWithin(entry, this.#table, this.#table + WORDS);
      return;
    }
    this.writeAddress(entry, this.#table * 4);
    words[entry + 2] = count * DESCRIPTOR_BYTES;
    words[entry + 3] = INDIRECT;
  }

  publish(): void {
    const before = this.published;
    const now = this.committed;
    if (now === before) return;
    this.published = now;
    this.counters.published += now - before | 0;
    // The store is a full barrier on both sides: descriptors before index, index before the device's wishes.
    Atomics.store(this.halves, this.#availableIndex, now & 0xffff);
    const wanted = this.eventIndex
      ? passed(this.wishes(this.halves, this.#availableEvent), now, before)
      : (this.wishes(this.halves, this.#usedFlags) & QUIET) === 0;
    if (wanted) this.notify();
  }

  protected notificationData(): number {
    return this.published << 16;
  }

  drain(collect: (cookie: number, written: number) => void): number {
    if (this.broken) return 0;
    const count = Atomics.load(this.halves, this.#usedIndex) - this.#used & 0xffff;
    if (count === 0) return 0;
    const { outstanding } = this;
    if (count > outstanding) {
      const what = `moved the used index by ${count} with ${outstanding} requests in flight`;
      return this.fail("D-48", what);
    }
    const done = this.inOrder ? this.#drainInOrder(count, collect) : this.#drainAny(count, collect);
    this.counters.completed += done;
    return done;
  }

  #drainAny(count: number, collect: (cookie: number, written: number) => void): number {
    const { words } = this;
    for (let i = 0; i < count; i++) {
      const used = this.#used;
      const at = this.#usedRing + (used & this.#mask) * 2;
      const head = words[at]! >>> 0;
      const written = words[at + 1]! >>> 0;
      const extent = this.find(head);
      if (extent === 0) return i;
      this.#next[extent & 0xffff] = this.#firstFree | 0;
      this.#firstFree = head;
      this.free += extent >>> 16;
      this.#used = used + 1 & 0xffff;
      this.finish(head, written, collect);
    }
    return count;
  }

  /** As {@linkcode #drainAny}, but a used element may stand for the requests before it, too (2.7.9). */
  #drainInOrder(count: number, collect: (cookie: number, written: number) => void): number {
    const { words } = this;
    for (let done = 0; done < count;) {
      const used = this.#used;
      const at = this.#usedRing + (used & this.#mask) * 2;
      const head = words[at]! >>> 0;
      const written = words[at + 1]! >>> 0;
      if (this.find(head) === 0) return done;
      const batch = this.batch(head);
      if (done + batch > count) {
        this.fail("D-56", `used descriptor ${head} before older requests, but in order was agreed`);
        return done;
      }
      this.#used = used + batch & 0xffff;
      this.finishThrough(head, written, collect);
      done += batch;
    }
    return count;
  }

  arm(): boolean {
    if (this.broken) return false;
    if (this.eventIndex) Atomics.store(this.halves, this.#usedEvent, this.#used);
    else Atomics.store(this.halves, this.#availableFlags, 0);
    return Atomics.load(this.halves, this.#usedIndex) !== this.#used;
  }

  protected restart(): void {
    const { layout, size } = this;
    this.words.fill(0, layout.descriptors / 4, (layout.descriptors + DESCRIPTOR_BYTES * size) / 4);
    this.halves.fill(0, this.#availableFlags, this.#usedEvent + 1);
    this.halves.fill(0, this.#usedFlags, this.#availableEvent + 1);
    for (let i = 0; i < size; i++) this.#next[i] = i + 1 & this.#mask;
    this.#firstFree = 0;
    this.#used = 0;
  }
}
