import * as kit from "../../core/class/mod.ts";
import { argument, type ClientLane, type Done } from "../../core/class/mod.ts";
import { mustBeBurst, mustBeFilled, type NetBurst } from "./burst.ts";
import type { FrameSlots } from "./frame_slots.ts";
import * as protocol from "./protocol.ts";
import type { NetReceiver } from "./receiver.ts";
import { type Segmentation, SEGMENTATIONS } from "./frame.ts";

const { Status } = kit;
const { FRAME_HEADER, NetSegmentation, NetTransmitWord } = protocol;

/** What the device is to do about a frame before it sends it. */
export interface TransmitOffload {
  /**
   * Sum up from byte `start` to the end, and put the complement `offset` bytes behind `start`. There stands the sum of
   * the pseudo header (virtio 1.4, 5.1.9.2).
   */
  readonly checksum?: { readonly start: number; readonly offset: number };
  /** Cut it into segments, each with the headers of the first; needs a checksum, too. */
  readonly segmentation?: Segmentation & {
    /** Bytes of all headers together. */
    readonly headers: number;
  };
}

/**
 * Checks what the device is to do about a frame of `length` bytes. Returns a copy of it.
 *
 * @throws TypeError If it is of the wrong kind.
 * @throws RangeError If it is not inside the frame.
 */
export function transmitOffload(
  given: TransmitOffload,
  length: number,
  where: string,
): TransmitOffload {
  const { checksum, segmentation } = argument.record(given, where, "offload");
  const inside = (value: unknown, name: string, least: number, most: number) =>
    argument.integer(value, where, `offload.${name}`, least, most);
  if (checksum === undefined) {
    if (segmentation === undefined) return {};
    throw new TypeError(
      "Cannot send a frame in segments: the device must fill in checksums, and offload.checksum is missing",
    );
  }
  const { start, offset } = argument.record(checksum, where, "offload.checksum");
  inside(start, "checksum.start", 0, length - 2);
  inside(offset, "checksum.offset", 0, length - 2 - start);
  if (segmentation === undefined) return { checksum: { start, offset } };
  const { type, size, headers, ecn = false } = argument.record(
    segmentation,
    where,
    "offload.segmentation",
  );
  argument.word(type, where, "offload.segmentation.type", SEGMENTATIONS);
  inside(size, "segmentation.size", 1, 0xffff);
  inside(headers, "segmentation.headers", FRAME_HEADER, length);
  argument.flag(ecn, where, "offload.segmentation.ecn");
  return { checksum: { start, offset }, segmentation: { type, size, headers, ecn } };
}

/**
 * The way to a network device without a copy and without a promise for each frame: frames as slots, whose data the
 * device reads and writes itself.
 *
 * To send, take a slot, put a frame into `data(slot)`, `submit` it, `publish` a batch; `done` is called once for each,
 * from {@linkcode wait} or when the kernel's loop comes by; then `release` the slot or submit it again. To receive,
 * take {@linkcode receive}.
 *
 * Many frames at a time go by fewer calls: {@linkcode takeBurst} takes slots for them, {@linkcode submitBurst} submits and
 * publishes them. Their numbers stand in arrays of yours, and slots that were sent release themselves:
 *
 * ```ts
 * import type { NetSlots } from "@virtio/deno/network";
 * import { NetBurst } from "@virtio/deno/network";
 *
 * const burst = new NetBurst(32);
 * function sendSome(slots: NetSlots, frame: Uint8Array): void {
 *   const count = slots.takeBurst(burst);
 *   for (let i = 0; i < count; i++) {
 *     slots.data(burst.slots[i]!).set(frame);
 *     burst.lengths[i] = frame.length;
 *   }
 *   slots.submitBurst(burst);
 * }
 * ```
 *
 * A slot that is not yours, because you did not take it, released it or submitted it already, is refused with a
 * `TypeError`, and so is what cannot be of a frame; the slot then stays yours.
 */
export class NetSlots {
  /** Number of slots for frames to send. */
  readonly count: number;
  /** Bytes that each has room for: those of a frame that is not cut. */
  readonly bytes: number = 0;
  /** Bytes of the longest frame that {@linkcode take} has a slot for. */
  readonly longest: number = 0;
  readonly #frames: FrameSlots;
  readonly #transmit: ClientLane;
  readonly #receive: ClientLane;
  readonly #receiver: NetReceiver;
  readonly #ended: () => number;
  #unsent = 0;

  /** Made by the client. */
  constructor(
    frames: FrameSlots,
    transmit: ClientLane,
    receive: ClientLane,
    receiver: NetReceiver,
  ) {
    this.#frames = frames;
    this.#transmit = transmit;
    this.#receive = receive;
    this.#receiver = receiver;
    this.#ended = () => transmit.ended + receive.ended;
    this.count = frames.count;
    this.bytes = frames.bytes;
    this.longest = frames.longest;
  }

  /**
   * Takes a free slot; −1 if there is none.
   *
   * @param bytes Of the frame that it is for, up to {@linkcode longest}; {@linkcode bytes} if left out. There are fewer
   *   slots for those that are longer.
   * @throws RangeError If no frame has so many.
   */
  take(bytes?: number): number {
    if (bytes === undefined) return this.#transmit.take();
    argument.integer(bytes, "NetSlots.take", "bytes", FRAME_HEADER, this.longest);
    return this.#frames.takeFor(bytes);
  }

  /**
   * Takes free slots, as many as there are and as have room in the burst.
   *
   * @param burst What they are put into; what was in it is forgotten.
   * @param most How many to take at most.
   * @returns How many there are in it now.
   * @throws TypeError If it is no burst.
   */
  takeBurst(burst: NetBurst, most: number = burst?.capacity): number {
    const where = "NetSlots.takeBurst";
    mustBeBurst(burst, where);
    argument.integer(most, where, "most", 0);
    const { slots, capacity } = burst;
    const end = Math.min(most, capacity);
    let count = 0;
    while (count < end) {
      const slot = this.#transmit.take();
      if (slot < 0) break;
      slots[count++] = slot;
    }
    burst.offsets.fill(0, 0, count);
    burst.more.fill(0, 0, count);
    return burst.count = count;
  }

  /** Gives a slot back that is not in flight. */
  release(slot: number): void {
    this.#frames.release(slot);
  }

  /** A slot's data: the frame, from its first address on. */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    return this.#frames.data(slot);
  }

  /** Frames that were submitted in a burst without `done`, and were not sent. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Frames that are on their way out. */
  get inFlight(): number {
    return this.#transmit.inFlight;
  }

  /**
   * Submits a frame; the driver sees it after {@linkcode publish}.
   *
   * @param length Bytes of the frame.
   * @param done Called once when it was sent, or not: see its status.
   * @throws TypeError If the slot is not taken, or an argument is of the wrong kind.
   * @throws RangeError If a number cannot be.
   */
  submit(slot: number, length: number, done: Done, offload?: TransmitOffload): void {
    const lane = this.#transmit;
    const where = "NetSlots.submit";
    lane.mustBeTaken(slot, "submit");
    // All is well, nearly always.
    if (!this.#fits(slot, length) || typeof done !== "function") {
      argument.integer(length, where, "length", FRAME_HEADER, this.data(slot).length);
      argument.callback(done, where, "done");
    }
    if (offload !== undefined) offload = transmitOffload(offload, length, where);
    const checksum = offload?.checksum;
    const segments = offload?.segmentation;
    lane.setWord(slot, NetTransmitWord.operation, checksum ? 1 : 0);
    lane.setWord(slot, NetTransmitWord.length, length);
    lane.setWord(
      slot,
      NetTransmitWord.checksum,
      checksum ? checksum.start | checksum.offset << 16 : 0,
    );
    lane.setWord(
      slot,
      NetTransmitWord.segmentation,
      segments
        ? NetSegmentation[segments.type] | (segments.ecn ? NetSegmentation.ecn : 0) |
          segments.size << 16
        : 0,
    );
    lane.setWord(slot, NetTransmitWord.headers, segments ? segments.headers : 0);
    lane.submit(slot, done);
  }

  /**
   * Submits frames and shows them to the driver. The device is to do nothing about them.
   *
   * @param burst Slots and lengths; it is empty afterwards.
   * @param done As for {@linkcode submit}. If it is left out, slots release themselves, and what was not sent is counted by
   *   {@linkcode unsent}.
   * @throws TypeError If one of the slots is not taken, or an argument is of the wrong kind.
   * @throws RangeError If one of the lengths cannot be. Nothing is submitted then, and all slots stay yours.
   */
  submitBurst(burst: NetBurst, done: Done = this.#released): void {
    const where = "NetSlots.submitBurst";
    mustBeFilled(burst, where);
    argument.callback(done, where, "done");
    const lane = this.#transmit;
    const { slots, lengths, count } = burst;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      lane.mustBeTaken(slot, "submit");
      const length = lengths[i]!;
      if (!this.#fits(slot, length)) {
        const most = this.data(slot).length;
        argument.integer(length, where, `burst.lengths[${i}]`, FRAME_HEADER, most);
      }
    }
    try {
      for (let i = 0; i < count; i++) {
        const slot = slots[i]!;
        lane.setWord(slot, NetTransmitWord.operation, 0);
        lane.setWord(slot, NetTransmitWord.length, lengths[i]!);
        lane.setWord(slot, NetTransmitWord.segmentation, 0);
        // One that is in the burst twice is refused here.
        lane.submit(slot, done);
      }
    } finally {
      lane.publish();
    }
    burst.count = 0;
  }

  #fits(slot: number, length: number): boolean {
    return Number.isInteger(length) && length >= FRAME_HEADER &&
      (length <= this.bytes || length <= this.data(slot).length);
  }

  readonly #released: Done = (slot, status) => {
    this.#frames.release(slot);
    if (status !== Status.ok) this.#unsent++;
  };

  /** Shows what was submitted to the driver. */
  publish(): void {
    this.#transmit.publish();
  }

  /**
   * Takes the receiving side over: from now on frames wait in the result, as slots, until that is disposed.
   *
   * @throws TypeError If it is taken already.
   */
  receive(): NetReceiver {
    this.#receiver.open();
    return this.#receiver;
  }

  /**
   * Waits, blocking this thread, until a frame has come or gone.
   *
   * @param timeout Milliseconds at most.
   * @returns How many requests ended; 0 if the time is over.
   * @throws RangeError If no timer can wait so long: 2³¹ − 1 is the most.
   */
  wait(timeout: number): number {
    argument.milliseconds(timeout, "slots.wait", "timeout");
    return this.#transmit.drain() || this.#receive.wait(timeout, this.#ended);
  }

  /**
   * Says that this thread calls {@linkcode wait} again and again, so that the driver need not wake it, until the result
   * is disposed. Promises of the kernel do not settle meanwhile.
   */
  busyPoll(): Disposable {
    return this.#receive.busyPoll();
  }
}
