import { argument, type ClientLane, type Done } from "../../core/class/mod.ts";
import * as protocol from "./protocol.ts";

const { BlockOperation } = protocol;

/** The greatest number in a word of a record. */
const MOST = 2 ** 32 - 1;

/** What a kind of disk makes of requests in slots. {@linkcode BlockSlots} has checked them: the slot is the caller's. */
export interface SlotRequests {
  /** Most bytes of data in one. */
  readonly bytes: number;
  /** Those in flight. */
  readonly inFlight: number;
  /** Those that have ended so far. */
  readonly ended: () => number;
  /** The memory of a slot that is for data. */
  data(slot: number): Uint8Array<SharedArrayBuffer>;
  /** Submits a request with data. */
  submit(
    slot: number,
    operation: number,
    sector: number,
    length: number,
    done: Done,
    once: boolean,
  ): void;
  /** Submits one about a stretch. */
  submitStretch(
    slot: number,
    operation: number,
    sector: number,
    sectors: number,
    flags: number,
    done: Done,
  ): void;
}

/**
 * The way to a disk without a copy and without a promise: requests as slots, whose data the device reads and
 * writes itself.
 *
 * Take a slot, fill `data(slot)` for a write, `submit` it, `publish` a batch; `done` is called once for each, from
 * {@linkcode wait} or when the kernel's loop comes by. Then read `data(slot)` and `release` the slot or submit it again.
 *
 * A slot that is not yours, because you did not take it, released it or submitted it already, is refused with a
 * `TypeError`, and so is what cannot be of a request; the slot then stays yours.
 */
export class BlockSlots {
  /** Number of slots. */
  readonly count: number;
  readonly #lane: ClientLane;
  readonly #requests: SlotRequests;

  /** Made by the kernel. */
  constructor(lane: ClientLane, requests: SlotRequests) {
    this.#lane = lane;
    this.#requests = requests;
    this.count = lane.slots;
  }

  /** Most bytes of data in one request. */
  get bytes(): number {
    return this.#requests.bytes;
  }

  /** Takes a free slot; −1 if there is none. */
  take(): number {
    return this.#lane.take();
  }

  /** Gives a slot back that is not in flight. */
  release(slot: number): void {
    this.#lane.release(slot);
  }

  /** A slot's data. */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    return this.#requests.data(slot);
  }

  /** Requests in flight. */
  get inFlight(): number {
    return this.#requests.inFlight;
  }

  /**
   * Submits a request; the driver sees it after {@linkcode publish}.
   *
   * @param operation A `BlockOperation`, but none of those for {@linkcode submitStretch}.
   * @param sector First sector of 512 bytes.
   * @param length Bytes of the slot's data to move.
   * @param done Called once when it ends.
   * @param once Whether doing it twice would do harm, as for appends; see {@linkcode ClientLane.submit}.
   * @throws TypeError If the slot is not taken, or an argument is no number or function.
   * @throws RangeError If a number cannot be. What does not fit the device ends with a status that says so.
   */
  submit(
    slot: number,
    operation: number,
    sector: number,
    length: number,
    done: Done,
    once = false,
  ): void {
    this.#lane.mustBeTaken(slot, "submit");
    // All is well, nearly always.
    const fits = Number.isInteger(operation) && operation >= 0 && operation <= MOST &&
      Number.isSafeInteger(sector) && sector >= 0 &&
      Number.isInteger(length) && length >= 0 && length <= this.bytes;
    if (!fits || typeof done !== "function") {
      const where = "BlockSlots.submit";
      argument.integer(operation, where, "operation", 0, MOST);
      argument.integer(sector, where, "sector");
      argument.integer(length, where, "length", 0, this.bytes);
      argument.callback(done, where, "done");
    }
    if (operation >= BlockOperation.discard && operation <= BlockOperation.secureErase) {
      throw new TypeError(
        `Cannot submit operation ${operation} with data: use submitStretch(), it is about a stretch`,
      );
    }
    this.#requests.submit(slot, operation, sector, length, done, once);
  }

  /**
   * Submits a request about a stretch of the disk that moves no data, for example a discard. What stands in the slot may
   * be overwritten.
   *
   * @param sectors Length of the stretch.
   * @param flags `UNMAP` or 0.
   * @throws TypeError As {@linkcode submit}.
   * @throws RangeError As {@linkcode submit}.
   */
  submitStretch(
    slot: number,
    operation: number,
    sector: number,
    sectors: number,
    flags: number,
    done: Done,
  ): void {
    const where = "BlockSlots.submitStretch";
    this.#lane.mustBeTaken(slot, "submit");
    argument.integer(operation, where, "operation", 0, MOST);
    argument.integer(sector, where, "sector");
    argument.integer(sectors, where, "sectors", 0, MOST);
    argument.integer(flags, where, "flags", 0, MOST);
    argument.callback(done, where, "done");
    this.#requests.submitStretch(slot, operation, sector, sectors, flags, done);
  }

  /**
   * How often the device was started anew. What was written in one count, and not flushed in the same one, may be lost,
   * where the disk has a write cache.
   */
  get restarts(): number {
    return this.#lane.restarts;
  }

  /** Shows what was submitted to the driver. */
  publish(): void {
    this.#lane.publish();
  }

  /**
   * Waits, blocking this thread, until a request ends.
   *
   * @param timeout Milliseconds at most.
   * @returns Requests that ended; 0 if the time is over.
   * @throws RangeError If no timer can wait so long: 2³¹ − 1 is the most.
   */
  wait(timeout: number): number {
    return this.#lane.wait(timeout, this.#requests.ended);
  }

  /**
   * Says that this thread calls {@linkcode wait} again and again, so that the driver need not wake it, until the result
   * is disposed. Promises of the kernel do not settle meanwhile.
   */
  busyPoll(): Disposable {
    return this.#lane.busyPoll();
  }
}
