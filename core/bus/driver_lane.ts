import * as lane from "./lane.ts";
import { type LaneLayout, type LanePlaces, lanePlaces } from "./lane.ts";

const { RECORD_WORDS, Word } = lane;

/** The driver's end of a lane: takes requests, completes them. */
export class DriverLane {
  /** Number of slots. */
  readonly slots: number = 0;
  /** Bytes of data in each slot. */
  readonly slotBytes: number = 0;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #places: LanePlaces;
  readonly #data: number = 0;
  #taken = 0;
  #completed = 0;
  #shown = 0;

  /** Made by the driver's host. */
  constructor(control: SharedArrayBuffer, layout: LaneLayout) {
    this.slots = layout.slots;
    this.slotBytes = layout.slotBytes;
    this.#words = new Uint32Array(control);
    this.#places = lanePlaces(layout.control, layout.slots);
    this.#data = layout.data;
  }

  /** Where the data of `slot` is in the arena, for {@linkcode Virtqueue.readable} and `writable`. */
  offset(slot: number): number {
    return this.#data + slot * this.slotBytes;
  }

  /** A word of a slot's record; which is which, the class of the device says. */
  word(slot: number, word: number): number {
    return this.#words[this.#places.records + slot * RECORD_WORDS + word]!;
  }

  /** Sets a word of a slot's record, for what the class wants to know besides status and length. */
  setWord(slot: number, word: number, value: number): void {
    this.#words[this.#places.records + slot * RECORD_WORDS + word] = value;
  }

  /**
   * Takes submitted requests in their order.
   *
   * @param start Called with the slot of each. If it returns false, there is no room for the request now: it comes
   * again at the next call.
   */
  take(start: (slot: number) => boolean): void {
    const { submitted, submit, mask } = this.#places;
    const words = this.#words;
    const end = Atomics.load(words, submitted);
    while (this.#taken !== end) {
      const slot = words[submit + (this.#taken & mask)]!;
      if (slot < this.slots && !start(slot)) return;
      this.#taken = this.#taken + 1 >>> 0;
    }
  }

  /** Whether requests were taken that have not ended. */
  get open(): boolean {
    return this.#taken !== this.#completed;
  }

  /** Whether requests wait to be taken. */
  get pending(): boolean {
    return Atomics.load(this.#words, this.#places.submitted) !== this.#taken;
  }

  /**
   * Ends a request that was taken. The client sees it when `rung` returns.
   *
   * @param status How it went, a `Status`.
   * @param length Bytes that were moved.
   */
  complete(slot: number, status: number, length: number): void {
    const { complete, mask, records } = this.#places;
    const words = this.#words;
    const record = records + slot * RECORD_WORDS;
    words[record + Word.status] = status;
    words[record + Word.length] = length;
    words[complete + (this.#completed & mask)] = slot;
    this.#completed = this.#completed + 1 >>> 0;
  }

  /** Shows completions to the client. Returns whether there were new ones. For the driver's host. */
  publish(): boolean {
    if (this.#completed === this.#shown) return false;
    this.#shown = this.#completed;
    Atomics.store(this.#words, this.#places.completed, this.#completed);
    return true;
  }
}
