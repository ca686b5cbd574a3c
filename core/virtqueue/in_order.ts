/**
 * What a device has to do for VIRTIO_F_IN_ORDER (virtio 1.4, 2.7.9 and 2.8.8): use requests in the order in which it
 * took them. Holds back what was finished early, and finds the batches that one used entry can stand for.
 */
export class InOrder {
  readonly #size: number;
  // Of the requests that were taken, in a circle.
  readonly #head: Uint16Array<ArrayBuffer>;
  /** Writable bytes. */
  readonly #room: Float64Array<ArrayBuffer>;
  /** How far the request moves the ring on. */
  readonly #extent: Uint16Array<ArrayBuffer>;
  /** Bytes that were written, −1 before it is finished. */
  readonly #written: Float64Array<ArrayBuffer>;
  #oldest = 0;
  #count = 0;

  constructor(size: number) {
    this.#size = size;
    this.#head = new Uint16Array(size);
    this.#room = new Float64Array(size);
    this.#extent = new Uint16Array(size);
    this.#written = new Float64Array(size);
  }

  /** A request was taken. */
  take(head: number, room: number, extent: number): void {
    const at = (this.#oldest + this.#count++) % this.#size;
    this.#head[at] = head;
    this.#room[at] = room;
    this.#extent[at] = extent;
    this.#written[at] = -1;
  }

  /** A request is finished. Returns false if there is none of this name. */
  put(head: number, written: number): boolean {
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#oldest + i) % this.#size;
      if (this.#head[at] !== head || this.#written[at]! >= 0) continue;
      this.#written[at] = written;
      return true;
    }
    return false;
  }

  /**
   * Gives the requests whose turn it is, in batches.
   *
   * The driver takes those before the last of a batch as completely written, so one that is not ends its batch.
   *
   * @param use Called with the last request of each batch and with how far the batch moves the ring on.
   */
  flush(use: (head: number, written: number, extent: number) => void): void {
    let extent = 0;
    while (this.#count > 0 && this.#written[this.#oldest]! >= 0) {
      const at = this.#oldest;
      const written = this.#written[at]!;
      this.#oldest = (at + 1) % this.#size;
      this.#count--;
      extent += this.#extent[at]!;
      const last = this.#count === 0 || this.#written[this.#oldest]! < 0;
      if (!last && written === this.#room[at]) continue;
      use(this.#head[at]!, written, extent);
      extent = 0;
    }
  }
}
