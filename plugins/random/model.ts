/**
 * The entropy device as a model (virtio 1.4, 5.4).
 *
 * @module
 */
import type { DeviceModel, Request } from "@virtio/deno/simulation";

/** How an entropy device can be worse than it should be (D-93). */
export interface EntropyOptions {
  /** What it fills buffers with: this byte, or nothing at all, so that old contents pass as new; random if absent. */
  readonly fill?: number | "nothing";
  /** The most bytes that it puts into one request; 0 is an answer without any. */
  readonly most?: number;
}

/** Fills every buffer that it is given with random bytes. */
export class EntropyModel implements DeviceModel {
  readonly id = 4;
  readonly queues: readonly number[] = [64];
  readonly #options: EntropyOptions;
  /** As many as `getRandomValues` makes at once. */
  readonly #bytes = new Uint8Array(65536);

  /** Makes the device; an honest one if there are no options. */
  constructor(options: EntropyOptions = {}) {
    this.#options = options;
  }

  /** Answers a request. */
  handle(_queue: number, request: Request): number {
    const { fill, most = Infinity } = this.#options;
    const end = Math.min(request.writable, most);
    while (request.written < end) {
      const bytes = this.#bytes.subarray(0, end - request.written);
      if (fill === "nothing") request.nextWritable(bytes.length);
      else request.write(fill === undefined ? crypto.getRandomValues(bytes) : bytes.fill(fill));
    }
    return request.written;
  }
}
