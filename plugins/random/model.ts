/**
 * The entropy device as a model (virtio 1.4, 5.4).
 *
 * @module
 */
import type { DeviceModel, Request } from "@virtio/deno/simulation";
import { DEVICE_ID } from "./wire.ts";

/** How an entropy device can be worse than it should be (D-93). */
export interface EntropyOptions {
  /** What it fills buffers with: this byte, or nothing at all, so that old contents pass as new; random if absent. */
  readonly fill?: number | "nothing";
  /** The most bytes that it puts into one request; 0 is an answer without any. */
  readonly most?: number;
  /** Whether it gives the same bytes again to every request after the first. */
  readonly repeats?: boolean;
}

/** Fills every buffer that it is given with random bytes. */
export class EntropyModel implements DeviceModel {
  readonly id: number = DEVICE_ID;
  readonly queues: readonly number[] = [64];
  readonly #options: EntropyOptions;
  /** As many as `getRandomValues` makes at once. */
  readonly #bytes = new Uint8Array(65536);
  #first: Uint8Array<ArrayBuffer> | undefined;

  /** Makes the device; an honest one if there are no options. */
  constructor(options: EntropyOptions = {}) {
    this.#options = options;
  }

  /** Answers a request. */
  handle(_queue: number, request: Request): number {
    const { fill, most = Infinity, repeats } = this.#options;
    const end = Math.min(request.writable, most);
    if (repeats) {
      this.#first ??= crypto.getRandomValues(new Uint8Array(Math.min(end, 65536)));
      request.write(this.#first.subarray(0, end));
      return request.written;
    }
    while (request.written < end) {
      const bytes = this.#bytes.subarray(0, end - request.written);
      if (fill === "nothing") request.nextWritable(bytes.length);
      else request.write(fill === undefined ? crypto.getRandomValues(bytes) : bytes.fill(fill));
    }
    return request.written;
  }
}
