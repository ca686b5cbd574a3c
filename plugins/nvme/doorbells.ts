import type { Buffer, RegisterWindow } from "@virtio/deno/plugin";

/** Doorbells of the admin queues are always written: they may be before the controller knows of the buffers. */
const FIRST_IO = 2;

/**
 * The doorbells of all queues: of each queue the tail of its submission queue, then the head of its completion queue (base
 * 2.0, 3.1.3.24). Each holds an index, and only the latest counts.
 *
 * A controller that emulates them may read them in memory instead, the shadow doorbells, and says there up to where it need
 * not be told: then most writes to a register are saved (5.8).
 */
export class Doorbells {
  /** Bytes from one to the next. */
  readonly #stride: number;
  readonly #window: RegisterWindow;
  readonly #shadow: Int32Array;
  readonly #eventIndex: Int32Array;
  #shadowed = false;

  /**
   * @param stride CAP.DSTRD.
   * @param shadow Memory for the shadow doorbells.
   * @param events Memory for the indices at which the controller wants to be told.
   * @throws Error If the window has no room for those of the admin queues and one pair more.
   */
  constructor(window: RegisterWindow, stride: number, shadow: Buffer, events: Buffer) {
    this.#window = window;
    this.#stride = 4 << stride;
    this.#shadow = words(shadow);
    this.#eventIndex = words(events);
    if (this.queues < 2) throw new Error("The controller's doorbells are too far apart");
  }

  /** How many queues the window has doorbells for, the admin queues included. */
  get queues(): number {
    return Math.floor(this.#window.size / (2 * this.#stride));
  }

  /** The controller reads the shadow doorbells from now on. */
  useShadow(): void {
    this.#shadowed = true;
  }

  /**
   * Tells a queue's index: everything that was written before can be seen by the controller first.
   *
   * @param doorbell Twice the number of the queue, and 1 more for the head of its completion queue.
   * @param old What was told last.
   */
  ring(doorbell: number, index: number, old: number): void {
    const offset = doorbell * this.#stride;
    Atomics.store(this.#shadow, offset >> 2, index);
    if (this.#shadowed && doorbell >= FIRST_IO) {
      const event = Atomics.load(this.#eventIndex, offset >> 2);
      // Indices wrap at the size of the queue, not at 65536: where one did, this rings once too often.
      if ((index - event - 1 & 0xffff) >= (index - old & 0xffff)) return;
    }
    this.#window.write32(offset, index);
  }
}

function words({ bytes }: Buffer): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}
