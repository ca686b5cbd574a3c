import type { ClientLane } from "../../core/class/mod.ts";
import * as protocol from "./protocol.ts";

const { NetTransmitWord, TRANSMIT_HEADROOM } = protocol;

/** What stands for no slot of the lane `long`. */
const NONE = -1;

/**
 * Slots for frames to send, each with room for its frame: many that hold what the wire takes, and a few long ones besides
 * for frames that the device cuts. A long frame has a slot of either lane; the number of the slot in `transmit` is all
 * that a caller knows of them.
 */
export class FrameSlots {
  /** Number of slots. */
  readonly count: number;
  /** Bytes that each has room for. */
  readonly bytes: number = 0;
  /** Bytes that a slot can be had for. */
  readonly longest: number = 0;
  readonly #transmit: ClientLane;
  readonly #long: ClientLane | undefined;
  /** Where each slot's own room is; where that of each long one is; where the frame of each slot is now. */
  readonly #short: readonly Uint8Array<SharedArrayBuffer>[];
  readonly #rooms: readonly Uint8Array<SharedArrayBuffer>[];
  readonly #frames: Uint8Array<SharedArrayBuffer>[];
  /** The long slot of each slot. */
  readonly #longs: Int16Array<ArrayBuffer>;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** @param long Undefined if the driver plans none: then there is nothing longer than a slot of `transmit`. */
  constructor(transmit: ClientLane, long: ClientLane | undefined) {
    this.#transmit = transmit;
    this.#long = long;
    this.count = transmit.slots;
    this.bytes = transmit.slotBytes - TRANSMIT_HEADROOM;
    this.longest = Math.max(this.bytes, long ? long.slotBytes - TRANSMIT_HEADROOM : 0);
    this.#short = roomsOf(transmit);
    this.#rooms = long ? roomsOf(long) : [];
    this.#frames = [...this.#short];
    this.#longs = new Int16Array(transmit.slots).fill(NONE);
  }

  /** Requests that wait for a slot. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Takes a free slot with room for {@linkcode bytes}; −1 if there is none. */
  take(): number {
    return this.#transmit.take();
  }

  /** Takes a free slot with room for so many bytes, at most {@linkcode longest}; −1 if there is none. */
  takeFor(bytes: number): number {
    if (bytes <= this.bytes) return this.take();
    const long = this.#long!.take();
    if (long < 0) return -1;
    const slot = this.take();
    if (slot < 0) this.#long!.release(long);
    else this.#join(slot, long);
    return slot;
  }

  /**
   * Takes a slot with room for so many bytes; waits for one behind those that wait already, so that frames keep their order.
   *
   * @param action For the error: `"Cannot send a frame of 60 bytes"`.
   * @throws RequestError If the driver is gone, and no slot was given back.
   */
  async taken(bytes: number, action: string): Promise<number> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    this.#waiting++;
    try {
      await before;
      if (bytes <= this.bytes) return await this.#transmit.taken(action);
      const long = await this.#long!.taken(action);
      try {
        return this.#join(await this.#transmit.taken(action), long);
      } catch (error) {
        this.#long!.release(long);
        throw error;
      }
    } finally {
      this.#waiting--;
      resolve();
    }
  }

  /** Gives a slot back that is not in flight. */
  release(slot: number): void {
    const long = this.#longs[slot]!;
    // What is no slot, or not the caller's, is refused by the lane.
    if (long >= 0) {
      this.#transmit.mustBeTaken(slot, "release");
      this.#part(slot);
      this.#long!.release(long);
    }
    this.#transmit.release(slot);
  }

  /** Where a slot's frame is, from its first address on. */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    const frame = this.#frames[slot];
    // What is no slot is refused by the lane.
    return frame && typeof slot === "number" ? frame : this.#transmit.data(slot);
  }

  #join(slot: number, long: number): number {
    this.#longs[slot] = long;
    this.#frames[slot] = this.#rooms[long]!;
    this.#transmit.setWord(slot, NetTransmitWord.long, long + 1);
    return slot;
  }

  #part(slot: number): void {
    this.#longs[slot] = NONE;
    this.#frames[slot] = this.#short[slot]!;
    this.#transmit.setWord(slot, NetTransmitWord.long, 0);
  }
}

/** Where frames are in a lane's slots. */
function roomsOf(lane: ClientLane): Uint8Array<SharedArrayBuffer>[] {
  return Array.from(
    { length: lane.slots },
    (_, slot) => lane.data(slot).subarray(TRANSMIT_HEADROOM),
  );
}
