import type { DriverQueue, QueueCounters, QueueFault } from "./virtqueue.ts";

/** A virtqueue that passes all on to another. What extends it takes note of some of it. */
export abstract class RelayedQueue implements DriverQueue {
  readonly #queue: DriverQueue;

  /** @param queue What all is passed on to. */
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
    this.#queue.begin(cookie);
  }

  readable(offset: number, length: number): void {
    this.#queue.readable(offset, length);
  }

  writable(offset: number, length: number): void {
    this.#queue.writable(offset, length);
  }

  commit(): boolean {
    return this.#queue.commit();
  }

  publish(): void {
    this.#queue.publish();
  }

  drain(collect: (cookie: number, written: number) => void): number {
    return this.#queue.drain(collect);
  }

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
