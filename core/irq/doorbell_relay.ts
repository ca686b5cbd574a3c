import { clearer, close, eventfd } from "../linux/fd.ts";
import type { Loop } from "./interrupt_loop.ts";

/** What rings an eventfd. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/**
 * Doorbells that only the core can reach. Drivers write to an eventfd, and the core notifies the device of all its
 * queues: a process that has the descriptor can make it look, and do nothing else.
 */
export class DoorbellRelay implements Disposable {
  readonly #fd = eventfd();
  readonly #rings = new Map<number, () => void>();
  readonly #loop: Loop;

  constructor(loop: Loop) {
    this.#loop = loop;
    const clear = clearer(this.#fd);
    loop.add(this.#fd, () => {
      clear();
      for (const ring of this.#rings.values()) ring();
    });
  }

  /** Adds the doorbell of a queue, each once, however often it is asked for. */
  add(queue: number, ring: () => void): { fd: number; message: Uint8Array<ArrayBuffer> } {
    this.#rings.set(queue, ring);
    return { fd: this.#fd, message: ONE };
  }

  [Symbol.dispose](): void {
    this.#loop.remove(this.#fd);
    close(this.#fd);
  }
}
