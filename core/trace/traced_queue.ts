// A virtqueue that tells what is done with it.

import { type AddressTable, PAGE, PAGE_SHIFT } from "../dma/address_table.ts";
import { WORDS } from "../virtqueue/descriptor.ts";
import type { QueueLayout } from "../virtqueue/layout.ts";
import { RelayedQueue } from "../virtqueue/relayed_queue.ts";
import type { DriverQueue } from "../virtqueue/virtqueue.ts";
import { Kind, type TraceWriter } from "./ring.ts";

/** What a traced queue is made of. */
export interface TracedQueueOptions {
  /** The queue itself. */
  readonly queue: DriverQueue;
  /** Which of the driver's queues it is. */
  readonly subject: number;
  /** The arena, and where in it the ring is. */
  readonly memory: SharedArrayBuffer;
  readonly layout: QueueLayout;
  /** What the device calls the arena's pages. */
  readonly addresses: AddressTable;
  /** Where it is told. */
  readonly trace: TraceWriter;
}

/**
 * A virtqueue that tells what is done with it. Which descriptors a request got is read from the ring itself, when the
 * request is committed: that is what the device finds.
 */
export class TracedQueue extends RelayedQueue {
  readonly #options: TracedQueueOptions;
  readonly #halves: Uint16Array<SharedArrayBuffer>;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  /** Descriptors of the request that is being built, and how many of them the device only reads. */
  #descriptors = 0;
  #readable = 0;
  #cookie = 0;
  /** The next entry of a split ring's available ring, or slot of a packed ring. */
  #next = 0;
  /** Requests so far, and how many of them were published. */
  #made = 0;
  #published = 0;
  /** Numbers of the requests in flight, by their cookies. */
  readonly #numbers = new Map<number, number[]>();

  constructor(options: TracedQueueOptions) {
    super(options.queue);
    this.#options = options;
    this.#halves = new Uint16Array(options.memory);
    this.#words = new Uint32Array(options.memory);
  }

  override begin(cookie: number): void {
    super.begin(cookie);
    this.#cookie = cookie;
    this.#descriptors = this.#readable = 0;
  }

  override readable(offset: number, length: number): void {
    super.readable(offset, length);
    this.#readable = this.#descriptors += this.#pieces(offset, length);
  }

  override writable(offset: number, length: number): void {
    super.writable(offset, length);
    this.#descriptors += this.#pieces(offset, length);
  }

  /** A buffer has a descriptor for each run of the arena that it touches. */
  #pieces(offset: number, length: number): number {
    const { run } = this.#options.addresses;
    let pieces = 0;
    for (let at = offset; at < offset + length; pieces++) {
      at += run[at >>> PAGE_SHIFT]! - (at & PAGE - 1);
    }
    return pieces;
  }

  override commit(): boolean {
    if (!super.commit()) return false;
    const number = ++this.#made;
    const numbers = this.#numbers.get(this.#cookie);
    if (numbers) numbers.push(number);
    else this.#numbers.set(this.#cookie, [number]);
    const { layout: { kind, size, indirect } } = this.#options;
    if (kind === "split") {
      const { driver } = this.#options.layout;
      const head = this.#halves[driver / 2 + 2 + (this.#next & size - 1)]!;
      this.#tell(number, head, head);
      this.#next = this.#next + 1 & 0xffff;
    } else {
      const id = this.#halves[this.#descriptor(this.#last()) * 2 + 6]!;
      this.#tell(number, id, this.#next);
      this.#next = (this.#next + (indirect === undefined ? this.#descriptors : 1)) % size;
    }
    return true;
  }

  /** The slot of a packed request's last descriptor, which names its buffer. */
  #last(): number {
    const { size, indirect } = this.#options.layout;
    return indirect === undefined ? (this.#next + this.#descriptors - 1) % size : this.#next;
  }

  /** The first word of a descriptor in the ring. */
  #descriptor(slot: number): number {
    return this.#options.layout.descriptors / 4 + slot * WORDS;
  }

  #tell(number: number, id: number, first: number): void {
    const { trace, subject, layout: { kind, size, indirect, segments } } = this.#options;
    const count = this.#descriptors;
    if (!trace.room(1 + count)) return;
    const inTable = indirect !== undefined && count > 1;
    trace.add(Kind.request, subject, this.#cookie, number, id, count, inTable ? 1 : 0);
    const words = this.#words;
    let slot = inTable ? 0 : first;
    for (let i = 0; i < count; i++) {
      const at = inTable ? indirect! / 4 + (id * segments + slot) * WORDS : this.#descriptor(slot);
      const write = i < this.#readable ? 0 : 1;
      trace.add(Kind.descriptor, subject, slot, words[at]!, words[at + 1]!, words[at + 2]!, write);
      if (kind === "split") slot = (words[at + 3]! >>> 16) % size;
      else slot = inTable ? slot + 1 : (slot + 1) % size;
    }
    trace.show();
  }

  override publish(): void {
    const requests = this.#made - this.#published;
    if (requests > 0) {
      this.#published = this.#made;
      this.#options.trace.write(Kind.publish, this.#options.subject, requests);
    }
    super.publish();
  }

  override drain(collect: (cookie: number, written: number) => void): number {
    const { trace, subject } = this.#options;
    return super.drain((cookie, written) => {
      const numbers = this.#numbers.get(cookie)!;
      trace.write(Kind.used, subject, cookie, numbers.shift()!, written);
      if (numbers.length === 0) this.#numbers.delete(cookie);
      collect(cookie, written);
    });
  }

  override takeUnfinished(collect: (cookie: number) => void): void {
    this.#numbers.clear();
    this.#next = 0;
    this.#published = this.#made;
    super.takeUnfinished(collect);
  }
}
