import { RelayedQueue } from "./relayed_queue.ts";

/**
 * A virtqueue that counts bytes besides requests, for a machine that is watched. It is put around the queue where that is
 * wanted, so that others pay nothing for it.
 */
export class CountedQueue extends RelayedQueue {
  /** Bytes that the device was given to read. */
  read = 0;
  /** Bytes that the device says it wrote. */
  written = 0;
  /** Of the request that is being built. */
  #readable = 0;
  #collect: (cookie: number, written: number) => void = () => {};

  override begin(cookie: number): void {
    this.#readable = 0;
    super.begin(cookie);
  }

  override readable(offset: number, length: number): void {
    this.#readable += length;
    super.readable(offset, length);
  }

  override commit(): boolean {
    if (!super.commit()) return false;
    this.read += this.#readable;
    return true;
  }

  override drain(collect: (cookie: number, written: number) => void): number {
    this.#collect = collect;
    return super.drain(this.#count);
  }

  readonly #count = (cookie: number, written: number): void => {
    this.written += written;
    this.#collect(cookie, written);
  };
}
