import { BusFault } from "../bus/mailbox.ts";
import type { ClientLane } from "./client_lane.ts";
import { Status } from "./lane.ts";
import { NetReceiveWord } from "./net.ts";

/**
 * Called for each slot of a frame, in their order.
 *
 * @param slot To be given back by {@linkcode NetReceiver.release}, at once or later.
 * @param offset Where the frame's bytes begin in the slot's data.
 * @param length How many there are.
 * @param more Slots of the same frame that follow.
 */
export type Received = (slot: number, offset: number, length: number, more: number) => void;

/**
 * The receiving side of a network device: its slots are always with the device, or hold a frame that waits here, or
 * are in somebody's hands who gives them back.
 *
 * While nobody has {@linkcode open | opened} it, each frame is handed to the client at once.
 */
export class NetReceiver implements Disposable {
  readonly #lane: ClientLane;
  readonly #whole: () => void;
  readonly #over: () => void;
  /** Slots that wait, a ring. */
  readonly #ready: Uint16Array<ArrayBuffer>;
  /** Of each slot that waits: what the driver said, taken once. */
  readonly #places: Uint32Array<ArrayBuffer>;
  readonly #lengths: Uint32Array<ArrayBuffer>;
  #first = 0;
  /** Slots that wait, and those among them whose frames are complete. */
  #waiting = 0;
  #complete = 0;
  /** Parts of the last frame that are still to come. */
  #missing = 0;
  #unpublished = 0;
  #isOpen = false;
  #isOver = false;

  /**
   * Made by the client, and all slots are given to the driver.
   *
   * @param whole Called when a frame is complete and nobody has opened this.
   * @param over Called when no frame will come any more.
   */
  constructor(lane: ClientLane, whole: () => void, over: () => void) {
    this.#lane = lane;
    this.#whole = whole;
    this.#over = over;
    this.#ready = new Uint16Array(lane.slots);
    this.#places = new Uint32Array(lane.slots);
    this.#lengths = new Uint32Array(lane.slots);
    for (let slot = lane.take(); slot >= 0; slot = lane.take()) lane.submit(slot, this.#arrived);
    lane.publish();
  }

  /** Whether the device is gone: no frame will come any more. */
  get over(): boolean {
    return this.#isOver;
  }

  /** Number of slots. */
  get count(): number {
    return this.#lane.slots;
  }

  /** Slots that wait to be drained; a frame may take several. */
  get waiting(): number {
    return this.#complete;
  }

  /** A slot's data. */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    return this.#lane.data(slot);
  }

  /** A word of what the driver says of the frame whose first slot this is: a `NetReceiveWord`. */
  word(slot: number, word: number): number {
    return this.#lane.word(slot, word);
  }

  /**
   * Takes the frames that wait.
   *
   * @param take Called for each of their slots.
   * @param most Frames to take at most.
   * @returns How many frames there were.
   */
  drain(take: Received, most = Infinity): number {
    let frames = 0;
    while (frames < most && this.#complete > 0) {
      const parts = this.#places[this.#ready[this.#first]!]! & 0xffff;
      for (let more = parts - 1; more >= 0; more--) {
        const slot = this.#ready[this.#first]!;
        this.#first = this.#first + 1 === this.#ready.length ? 0 : this.#first + 1;
        this.#waiting--;
        this.#complete--;
        take(slot, this.#places[slot]! >>> 16, this.#lengths[slot]!, more);
      }
      frames++;
    }
    return frames;
  }

  /** Gives a slot back to the device. */
  release(slot: number): void {
    if (this.#isOver) return;
    this.#lane.submit(slot, this.#arrived);
    // The driver need not hear of each: there are enough with it.
    if (++this.#unpublished * 8 >= this.#lane.slots) this.publish();
  }

  /** Shows the driver the slots that were given back; it happens by itself from time to time. */
  publish(): void {
    this.#unpublished = 0;
    this.#lane.publish();
  }

  /** Takes it over; see `NetSlots.receive`. */
  open(): void {
    if (this.#isOpen) {
      throw new TypeError(
        "Cannot take the receiving side over: somebody has it; dispose the other receiver first",
      );
    }
    this.#isOpen = true;
  }

  /** The device was started anew: what had come of an unfinished frame is void. */
  restarted(): void {
    if (this.#missing === 0) return;
    while (this.#waiting > this.#complete) {
      const at = (this.#first + --this.#waiting) % this.#ready.length;
      this.release(this.#ready[at]!);
    }
    this.#missing = 0;
    this.publish();
  }

  /** Gives it back; frames that wait are handed to the client. */
  [Symbol.dispose](): void {
    this.#isOpen = false;
    if (this.#complete > 0) this.#whole();
  }

  readonly #arrived = (slot: number, status: number, length: number): void => {
    if (status !== Status.ok) {
      this.#lane.release(slot);
      if (!this.#isOver) this.#over();
      this.#isOver = true;
      return;
    }
    const place = this.#lane.word(slot, NetReceiveWord.place);
    const parts = place & 0xffff;
    if ((parts === 0) !== this.#missing > 0 || parts > this.#lane.slots) {
      throw new BusFault(
        `The driver delivered a frame of ${parts} slots where ${this.#missing} of one were missing`,
      );
    }
    if ((place >>> 16) + length > this.#lane.slotBytes) {
      throw new BusFault(
        `The driver delivered ${length} bytes at ${
          place >>> 16
        } of a slot of ${this.#lane.slotBytes}`,
      );
    }
    this.#places[slot] = place;
    this.#lengths[slot] = length;
    this.#ready[(this.#first + this.#waiting++) % this.#ready.length] = slot;
    this.#missing = (parts || this.#missing) - 1;
    if (this.#missing > 0) return;
    this.#complete = this.#waiting;
    if (!this.#isOpen) this.#whole();
  };
}
