import type { DriverQueue, QueueCounters, QueueFault } from "./virtqueue.ts";

/**
 * A virtqueue that counts bytes besides requests, for a machine that is watched. It is put around the queue where that is
 * wanted, so that others pay nothing for it.
 */
export class CountedQueue implements DriverQueue {
  /** Bytes that the device was given to read. */
  read = 0;
  /** Bytes that the device says it wrote. */
  written = 0;
  readonly #queue: DriverQueue;
  /** Of the request that is being built. */
  #readable = 0;
  #collect: (cookie: number, written: number) => void = () => {};

  constructor(queue: DriverQueue) {
    this.#queue = queue;
  }

  get size(): number {
    return this.#queue.size;
  }

  get inFlight(): number {
    return this.#queue.inFlight;
  }

  get broken(): QueueFault | undefined {
    return this.#queue.broken;
  }

  get counters(): QueueCounters {
    return this.#queue.counters;
  }

  begin(cookie: number): void {
    this.#readable = 0;
    this.#queue.begin(cookie);
  }

  readable(offset: number, length: number): void {
    this.#readable += length;
    this.#queue.readable(offset, length);
  }

  writable(offset: number, length: number): void {
    this.#queue.writable(offset, length);
  }

  commit(): boolean {
    if (!this.#queue.commit()) return false;
    this.read += this.#readable;
    return true;
  }

  publish(): void {
    this.#queue.publish();
  }

  drain(collect: (cookie: number, written: number) => void): number {
    this.#collect = collect;
    return this.#queue.drain(this.#count);
  }

  readonly #count = (cookie: number, written: number): void => {
    this.written += written;
    this.#collect(cookie, written);
  };

  arm(): boolean {
    return this.#queue.arm();
  }

  kick(): void {
    this.#queue.kick();
  }

  takeUnfinished(collect: (cookie: number) => void): void {
    this.#queue.takeUnfinished(collect);
  }
}
