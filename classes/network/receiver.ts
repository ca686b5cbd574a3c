import * as kit from "../../core/class/mod.ts";
import { argument, BusFault, type ClientLane, RECORD_WORDS } from "../../core/class/mod.ts";
import { mustBeBurst, mustBeFilled, type NetBurst } from "./burst.ts";
import * as protocol from "./protocol.ts";

const { Status } = kit;
const { NetReceiveWord } = protocol;

/**
 * Called for each slot of a frame, in their order. If it throws, the rest of the frame goes back to the device, and
 * {@linkcode NetReceiver.drain} throws the same.
 *
 * @param slot To be given back by {@linkcode NetReceiver.release}, at once or later.
 * @param offset Where the frame's bytes begin in the slot's data.
 * @param length How many there are.
 * @param more Slots of the same frame that follow.
 */
export type Received = (slot: number, offset: number, length: number, more: number) => void;

/**
 * The receiving side of a network device: its slots are always with the device, or hold a frame that waits here, or
 * are lent to a reader that gives them back.
 *
 * While it is not {@linkcode open | opened}, each frame is handed to the client at once.
 */
export class NetReceiver implements Disposable {
  readonly #lane: ClientLane;
  readonly #whole: () => void;
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
  /** Whether each slot is in the hands of the drainer. */
  readonly #lent: Uint8Array<ArrayBuffer>;
  #draining = false;
  #isOpen = false;
  #isOver = false;

  /**
   * Made by the client, and all slots are given to the driver.
   *
   * @param whole Called when a frame is complete and this is not opened.
   */
  constructor(lane: ClientLane, whole: () => void) {
    this.#lane = lane;
    this.#whole = whole;
    this.#ready = new Uint16Array(lane.slots);
    this.#places = new Uint32Array(lane.slots);
    this.#lengths = new Uint32Array(lane.slots);
    this.#lent = new Uint8Array(lane.slots);
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
    argument.integer(slot, "NetReceiver.word", "slot", 0, this.count - 1);
    argument.integer(word, "NetReceiver.word", "word", 0, RECORD_WORDS - 1);
    return this.#lane.word(slot, word);
  }

  /**
   * Takes the frames that wait.
   *
   * @param take Called for each of their slots.
   * @param most Frames to take at most.
   * @returns How many frames there were.
   * @throws TypeError If it is called from within `take`.
   */
  drain(take: Received, most = Infinity): number {
    argument.callback(take, "NetReceiver.drain", "take");
    if (most !== Infinity) argument.integer(most, "NetReceiver.drain", "most");
    this.#mustNotDrain();
    this.#draining = true;
    let [frames, more] = [0, 0];
    try {
      while (frames < most && this.#complete > 0) {
        const parts = this.#places[this.#ready[this.#first]!]! & 0xffff;
        for (more = parts - 1; more >= 0; more--) {
          const slot = this.#next();
          take(slot, this.#places[slot]! >>> 16, this.#lengths[slot]!, more);
        }
        frames++;
      }
    } finally {
      this.#draining = false;
      for (; more > 0; more--) this.release(this.#next());
    }
    return frames;
  }

  /**
   * Takes frames that wait, whole ones, as many as have room.
   *
   * @param burst What their slots are put into; what was in it is forgotten, and not given back.
   * @returns How many frames there are in it now; they may take more slots.
   * @throws TypeError If it is no burst, or this is called from within {@linkcode drain}.
   * @throws RangeError If the frame that has waited longest takes more slots than have room.
   */
  drainBurst(burst: NetBurst): number {
    mustBeBurst(burst, "NetReceiver.drainBurst");
    this.#mustNotDrain();
    const { slots, offsets, lengths, more, capacity } = burst;
    let [frames, count] = [0, 0];
    while (this.#complete > 0) {
      const parts = this.#places[this.#ready[this.#first]!]! & 0xffff;
      if (count + parts > capacity) {
        if (count > 0) break;
        throw new RangeError(
          `Cannot drain a frame of ${parts} slots: the burst has room for ${capacity}`,
        );
      }
      for (let left = parts - 1; left >= 0; left--) {
        const slot = this.#next();
        slots[count] = slot;
        offsets[count] = this.#places[slot]! >>> 16;
        lengths[count] = this.#lengths[slot]!;
        more[count++] = left;
      }
      frames++;
    }
    burst.count = count;
    return frames;
  }

  #mustNotDrain(): void {
    if (!this.#draining) return;
    throw new TypeError("Cannot drain frames while they are drained: let `take` return first");
  }

  /** Lends the slot that has waited longest. */
  #next(): number {
    const slot = this.#ready[this.#first]!;
    this.#first = this.#first + 1 === this.#ready.length ? 0 : this.#first + 1;
    this.#waiting--;
    this.#complete--;
    this.#lent[slot] = 1;
    return slot;
  }

  /**
   * Gives a slot back to the device.
   *
   * @throws TypeError If it was not drained, or given back since.
   */
  release(slot: number): void {
    this.#mustBeLent(slot);
    this.#giveBack(slot);
    this.#publishSome();
  }

  #mustBeLent(slot: number): void {
    if (typeof slot === "number" && this.#lent[slot] === 1) return;
    throw new TypeError(
      `Cannot release slot ${String(slot)}: drain() has not lent it, or it was given back since`,
    );
  }

  /**
   * Gives all slots of a burst back to the device; it is empty afterwards.
   *
   * @throws TypeError If it is no burst, or one of its slots was not drained, or given back since; those before it are given
   *   back.
   */
  releaseBurst(burst: NetBurst): void {
    mustBeFilled(burst, "NetReceiver.releaseBurst");
    const { slots, count } = burst;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      this.#mustBeLent(slot);
      this.#giveBack(slot);
    }
    burst.count = 0;
    this.#publishSome();
  }

  #giveBack(slot: number): void {
    this.#lent[slot] = 0;
    if (this.#isOver) return;
    this.#lane.submit(slot, this.#arrived);
    this.#unpublished++;
  }

  /** The driver need not hear of each that was given back: there are enough with it. */
  #publishSome(): void {
    if (this.#unpublished * 8 >= this.#lane.slots) this.publish();
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
        "Cannot take the receiving side over: it is taken; dispose the other receiver first",
      );
    }
    this.#isOpen = true;
  }

  /** The device was started anew: what had come of an unfinished frame is void. */
  restarted(): void {
    if (this.#missing === 0) return;
    while (this.#waiting > this.#complete) {
      const at = (this.#first + --this.#waiting) % this.#ready.length;
      this.#giveBack(this.#ready[at]!);
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
    // A division would be a tenth of it all.
    const at = this.#first + this.#waiting++;
    this.#ready[at < this.#ready.length ? at : at - this.#ready.length] = slot;
    this.#missing = (parts || this.#missing) - 1;
    if (this.#missing > 0) return;
    this.#complete = this.#waiting;
    if (!this.#isOpen) this.#whole();
  };
}
