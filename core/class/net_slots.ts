import type { ClientLane, Done } from "./client_lane.ts";
import { Word } from "./lane.ts";
import { NetSegmentation, NetTransmitWord } from "./net.ts";
import type { NetReceiver } from "./net_receiver.ts";
import type { Segmentation } from "./frame.ts";

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
 * The way to a network device without a copy and without a promise for each frame: frames as slots, whose data the
 * device reads and writes itself.
 *
 * To send, take a slot, put a frame into `data(slot)`, `submit` it, `publish` a batch; `done` is called once for each,
 * from {@linkcode wait} or when the kernel's loop comes by; then `release` the slot or submit it again. To receive,
 * take {@linkcode receive}.
 */
export class NetSlots {
  /** Number of slots for frames to send. */
  readonly count: number;
  /** Bytes of data in each. */
  readonly bytes: number;
  readonly #transmit: ClientLane;
  readonly #receive: ClientLane;
  readonly #receiver: NetReceiver;
  readonly #ended: () => number;

  /** Made by the client. */
  constructor(transmit: ClientLane, receive: ClientLane, receiver: NetReceiver) {
    this.#transmit = transmit;
    this.#receive = receive;
    this.#receiver = receiver;
    this.#ended = () => transmit.ended + receive.ended;
    this.count = transmit.slots;
    this.bytes = transmit.slotBytes;
  }

  /** Takes a free slot; −1 if there is none. */
  take(): number {
    return this.#transmit.take();
  }

  /** Gives a slot back that is not in flight. */
  release(slot: number): void {
    this.#transmit.release(slot);
  }

  /** A slot's data: the frame, from its first address on. */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    return this.#transmit.data(slot);
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
   */
  submit(slot: number, length: number, done: Done, offload?: TransmitOffload): void {
    const lane = this.#transmit;
    const checksum = offload?.checksum;
    const segments = offload?.segmentation;
    lane.setWord(slot, Word.operation, checksum ? 1 : 0);
    lane.setWord(slot, Word.length, length);
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

  /** Shows what was submitted to the driver. */
  publish(): void {
    this.#transmit.publish();
  }

  /**
   * Takes the receiving side over: from now on frames wait in the result, as slots, until that is disposed.
   *
   * @throws TypeError If somebody has it already.
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
   */
  wait(timeout: number): number {
    return this.#receive.wait(timeout, this.#ended);
  }

  /**
   * Says that this thread calls {@linkcode wait} again and again, so that nobody needs to wake it, until the result
   * is disposed. Promises of the kernel do not settle meanwhile.
   */
  attend(): Disposable {
    return this.#receive.attend();
  }
}
