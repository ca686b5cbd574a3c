// What the driver's sides of split and packed rings share.

import type { AddressTable } from "../dma/address_table.ts";
import { PAGE, PAGE_SHIFT } from "../dma/address_table.ts";
import * as descriptor from "./descriptor.ts";
import type { QueueLayout } from "./layout.ts";
import type { DriverQueue, QueueCounters, QueueFault } from "./virtqueue.ts";

/** What the driver side of a virtqueue stands on. */
export interface DriverRingOptions {
  /** The arena. */
  readonly memory: SharedArrayBuffer;
  /** Where the ring's parts are in it. They must be zero. */
  readonly layout: QueueLayout;
  /** What the device calls the arena's pages. */
  readonly addresses: AddressTable;
  /** Whether VIRTIO_F_EVENT_IDX was agreed. */
  readonly eventIndex: boolean;
  /** Whether VIRTIO_F_IN_ORDER was agreed. */
  readonly inOrder?: boolean;
  /**
   * Notifies the device.
   *
   * @param data Where the next request will be, as bits 16 to 31 of VIRTIO_F_NOTIFICATION_DATA (virtio 1.4, 2.9): or
   *   the queue's index into it. It is a signed word, since an unsigned one would cost an allocation.
   */
  readonly notify: (data: number) => void;
}

const { NEXT, WRITE } = descriptor;

/** Words of a request's record: the descriptors it takes and the last of them, writable bytes, cookie, rank. */
const RECORD = 4, EXTENT = 0, WRITABLE = 1, COOKIE = 2, RANK = 3;

/**
 * Whether the processor keeps a load behind an atomic store that came before it, as x86-64 does: there such a store is
 * a full barrier. Elsewhere, as on arm64, only an atomic load stays behind it.
 */
const STORE_IS_BARRIER =
  (globalThis as { Deno?: { build: { arch: string } } }).Deno?.build.arch === "x86_64";

/**
 * What both kinds of ring have in common on the driver's side: the requests.
 *
 * The device can write to all of the ring, so nothing that the driver relies on is kept there. Each request has an
 * id by which the device names it, and a private record under this id. What the device says is read once and held
 * against the record.
 *
 * What V8 knows, its code need not look up and check (docs/architecture.md, "The hot path"): a module's own constants
 * are part of its code, imported ones are not, hence the copies; a field that is a small integer from the start is
 * taken for one, and one that is only declared for what the constructor makes it. Numbers on their way into a typed
 * array are made small integers (`| 0`) where it could not know that they are such; otherwise it would move each through
 * a floating-point register.
 */
export abstract class DriverRing implements DriverQueue {
  readonly size: number = 0;
  readonly counters: QueueCounters = { published: 0, completed: 0, notifications: 0, overlong: 0 };

  protected readonly layout: QueueLayout;
  declare protected readonly halves: Uint16Array<SharedArrayBuffer>;
  declare protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly eventIndex: boolean = false;
  protected readonly inOrder: boolean = false;
  readonly #notify: (data: number) => void;

  readonly #addresses: AddressTable;
  readonly #bytes: number = 0;
  /** Bytes of the arena whose addresses are the first one plus an offset, without a carry: all or none. */
  readonly #plain: number = 0;
  readonly #low: number = 0;
  readonly #high: number = 0;

  /** A record of {@linkcode RECORD} words for each id; one that is not in flight takes no descriptors. */
  declare protected readonly records: Int32Array<ArrayBuffer>;
  /** Descriptors of the ring that no request takes. */
  protected free: number = 0;
  /** The id of the oldest request. Only in order. */
  protected oldest = 0;
  /** Requests since the start, as wrapping words: all, those that the device may know of, those that came back. */
  protected committed = 0;
  protected published = 0;
  #finished = 0;

  // The request that is being built: descriptors it may have, and more of them (−1: too few), writable bytes, cookie.
  protected limit = 0;
  protected room = 0;
  protected bytes = 0;
  protected cookie = 0;

  #broken: QueueFault | undefined;

  constructor({ memory, layout, addresses, eventIndex, inOrder, notify }: DriverRingOptions) {
    this.size = layout.size;
    this.layout = layout;
    this.halves = new Uint16Array(memory);
    this.words = new Int32Array(memory);
    this.eventIndex = eventIndex;
    this.inOrder = inOrder ?? false;
    this.#notify = notify;
    this.#addresses = addresses;
    this.#bytes = Math.min(memory.byteLength, addresses.low.length * PAGE);
    this.#low = addresses.low[0]! | 0;
    this.#high = addresses.high[0]! | 0;
    const whole = addresses.run[0]! >= this.#bytes && addresses.low[0]! + this.#bytes <= 2 ** 32;
    this.#plain = whole ? this.#bytes : 0;
    this.records = new Int32Array(this.size * RECORD);
    this.free = this.size;
  }

  get inFlight(): number {
    return this.committed - this.#finished | 0;
  }

  get broken(): QueueFault | undefined {
    return this.#broken;
  }

  abstract begin(cookie: number): void;
  abstract commit(): boolean;
  abstract publish(): void;
  abstract drain(collect: (cookie: number, written: number) => void): number;
  abstract arm(): boolean;
  /** Writes the next descriptor of the request, if there is room. */
  protected abstract put(low: number, high: number, length: number, flags: number): void;
  /** Makes the ring and all that is known about it as at first. */
  protected abstract restart(): void;
  /** Where the next request will be (2.9). */
  protected abstract notificationData(): number;

  readable(offset: number, length: number): void {
    if (this.bytes > 0) throw new Error("Cannot add a readable buffer: it follows a writable one");
    this.#add(offset, length, NEXT);
  }

  writable(offset: number, length: number): void {
    this.bytes += length;
    this.#add(offset, length, NEXT | WRITE);
  }

  #add(offset: number, length: number, flags: number): void {
    if (offset >= 0 && length > 0 && offset + length <= this.#plain) {
      this.put(this.#low + offset, this.#high, length, flags);
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
      this.put(low[page]! + inPage, high[page]!, part, flags);
      offset += part;
      length -= part;
    }
  }

  /** Writes the address at which the device finds `offset` of the arena. */
  protected writeAddress(at: number, offset: number): void {
    const page = offset >>> PAGE_SHIFT;
    this.words[at] = this.#addresses.low[page]! + (offset & (PAGE - 1));
    this.words[at + 1] = this.#addresses.high[page]!;
  }

  /** Whether the request that was built can be committed. */
  protected fits(): boolean {
    if (this.room >= 0 && this.room < this.limit && this.#broken === undefined) return true;
    this.#checkBuilt();
    return false;
  }

  // What rarely happens stands apart: the methods of the hot path are then short enough to be compiled as one.

  /** Throws if the request could never be committed. */
  #checkBuilt(): void {
    if (this.room < 0) {
      if (this.inFlight > 0) return;
      throw new RangeError(`Cannot commit a request: it has more than ${this.limit} buffers`);
    }
    if (this.room === this.limit) throw new Error("Cannot commit a request without a buffer");
  }

  /** Drops the request that is being built. */
  protected abandon(): void {
    this.limit = this.room = 0;
  }

  /** Enters the request that was built under its id. Its last descriptor matters to the split ring only. */
  protected enter(id: number, taken: number, last: number): void {
    const at = id * RECORD;
    const { records, committed } = this;
    records[at + EXTENT] = taken << 16 | last;
    records[at + WRITABLE] = this.bytes | 0;
    records[at + COOKIE] = this.cookie | 0;
    records[at + RANK] = committed;
    this.committed = committed + 1 | 0;
    this.free -= taken;
    this.limit = this.room = 0;
  }

  /** Requests that the device may have used by now. */
  protected get outstanding(): number {
    return this.published - this.#finished | 0;
  }

  /** Finds the request that the device says it used: the first word of its record. Breaks the queue if there is none. */
  protected find(id: number): number {
    if (id < this.size) {
      const extent = this.records[id * RECORD + EXTENT]!;
      if (extent !== 0 && (this.committed === this.published || this.#rank(id) < 0)) return extent;
    }
    return this.#failId(id);
  }

  #failId(id: number): 0 {
    if (id >= this.size) {
      return this.fail("D-41", `used descriptor ${id} of a queue of ${this.size}`);
    }
    if (this.records[id * RECORD + EXTENT] === 0) {
      return this.fail("D-42", `used descriptor ${id}, which heads no request in flight`);
    }
    return this.fail("D-42", `used descriptor ${id}, which was not made available yet`);
  }

  /** Where a request is among all: negative for those that are published, ascending in the order of commits. */
  #rank(id: number): number {
    return this.records[id * RECORD + RANK]! - this.published | 0;
  }

  /** Ends a request that the device holds. Its descriptors are free already. */
  protected finish(
    id: number,
    written: number,
    collect: (cookie: number, written: number) => void,
  ): void {
    // What is being built stands on the free descriptors of before.
    if (this.limit !== 0) this.abandon();
    const at = id * RECORD;
    const records = this.records;
    const writable = records[at + WRITABLE]! >>> 0;
    if (written > writable) {
      written = writable;
      this.counters.overlong++;
    }
    records[at + EXTENT] = 0;
    this.#finished = this.#finished + 1 | 0;
    // Last, since it may begin the next request.
    collect(records[at + COOKIE]! >>> 0, written);
  }

  /** How many requests end with the request `id`, which the device holds, where it uses them in order. */
  protected batch(id: number): number {
    return this.#rank(id) - this.#rank(this.oldest) + 1;
  }

  /** Ends the oldest requests in their order, up to the request `id`, which the device holds (2.7.9, 2.8.8). */
  protected finishThrough(
    id: number,
    written: number,
    collect: (cookie: number, written: number) => void,
  ): void {
    for (;;) {
      const oldest = this.oldest;
      const at = oldest * RECORD;
      const taken = this.records[at + EXTENT]! >>> 16;
      const next = oldest + taken;
      this.oldest = next < this.size ? next : next - this.size;
      this.free += taken;
      if (oldest === id) return this.finish(id, written, collect);
      this.finish(oldest, this.records[at + WRITABLE]! >>> 0, collect);
    }
  }

  /** What the device wishes, read behind the atomic store that published requests. V8 moves no load over that call. */
  protected wishes(of: Int32Array | Uint16Array, at: number): number {
    return STORE_IS_BARRIER ? of[at]! : Atomics.load(of, at);
  }

  protected notify(): void {
    this.counters.notifications++;
    this.#notify(this.notificationData());
  }

  kick(): void {
    this.notify();
  }

  takeUnfinished(collect: (cookie: number) => void): void {
    const cookies = Array.from({ length: this.size }, (_, id) => id)
      .filter((id) => this.records[id * RECORD + EXTENT] !== 0)
      .sort((a, b) => this.#rank(a) - this.#rank(b))
      .map((id) => this.records[id * RECORD + COOKIE]! >>> 0);
    this.records.fill(0);
    this.free = this.size;
    this.oldest =
      this.committed =
      this.published =
      this.#finished =
        0;
    this.limit = this.room = 0;
    this.#broken = undefined;
    this.restart();
    cookies.forEach(collect);
  }

  /** Breaks the queue. */
  protected fail(rule: string, what: string): 0 {
    this.#broken = { rule, what };
    return 0;
  }
}
