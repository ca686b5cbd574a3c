import {
  FRAME_HEADER,
  NetBurst,
  type NetClient,
  type NetReceiver,
  type NetSlots,
} from "../../classes/network/mod.ts";
import { RequestError, Status } from "../../core/class/mod.ts";
import { ethernetFrame, EtherType } from "./ethernet.ts";

/** What a benchmark needs of a card. */
export type BenchCard = Pick<NetClient, "mac" | "mtu" | "slots">;

/** How frames went in one direction. */
export interface BenchFigure {
  /** Bytes of each frame, without what is on the wire only. */
  readonly size: number;
  /** Milliseconds that it took. */
  readonly milliseconds: number;
  /** Frames that the device took. */
  readonly sent: number;
  /** Frames that came to the receiver, if there was one. */
  readonly received: number | undefined;
}

/** How long one frame at a time takes to go to the other card and back. */
export interface EchoFigure {
  readonly size: number;
  readonly milliseconds: number;
  /** Frames that came back. */
  readonly echoes: number;
}

/** How long this thread is kept from everything else, in milliseconds. */
const SLICE = 100;
/** Longest wait until the time is looked at, in milliseconds. */
const PATIENCE = 10;
/** When none has come for so long, none is on its way any more, in milliseconds. */
const QUIET = 50;
/** After that what is still in flight is given up, in milliseconds. */
const LATE = 1000;

/** Lets the rest of the program have its turn; throws if the benchmark is to end. */
export type Breathe = () => Promise<void>;

/** Does something again and again for so long, in slices. Returns how long it was, without what was between them. */
async function repeat(milliseconds: number, breathe: Breathe, work: () => void): Promise<number> {
  let worked = 0;
  while (worked < milliseconds) {
    const start = performance.now();
    const end = start + Math.min(SLICE, milliseconds - worked);
    while (performance.now() < end) work();
    worked += performance.now() - start;
    await breathe();
  }
  return worked;
}

/**
 * Sends frames of `size` bytes as fast as the card takes them, and counts those that come to `to`. Blocks this thread
 * but for `breathe`.
 *
 * @param to Where they should come; they are addressed to `from` itself if undefined.
 * @throws RequestError If the card does not send one.
 */
export async function benchFrames(
  from: BenchCard,
  to: BenchCard | undefined,
  size: number,
  milliseconds: number,
  breathe: Breathe,
): Promise<BenchFigure> {
  using sender = new Sender(from, to ?? from, size);
  using counter = to && new Counter(to.slots, size);
  const worked = await repeat(milliseconds, breathe, () => {
    sender.fill();
    from.slots.wait(PATIENCE);
    counter?.count();
    sender.check();
  });
  const start = performance.now();
  sender.finish(() => counter?.count());
  const took = worked + performance.now() - start;
  for (let quiet = performance.now(); counter && performance.now() - quiet < QUIET;) {
    if (counter.count(QUIET) > 0) quiet = performance.now();
  }
  return { size, milliseconds: took, sent: sender.sent, received: counter?.received };
}

/** Sends one frame at a time to `to`, which sends it back. Blocks this thread but for `breathe`. */
export async function benchEcho(
  from: BenchCard,
  to: BenchCard,
  size: number,
  milliseconds: number,
  breathe: Breathe,
): Promise<EchoFigure> {
  using there = new Sender(from, to, size);
  using back = new Sender(to, from, size);
  using arrived = new Counter(to.slots, size);
  using returned = new Counter(from.slots, size);
  // One that is lost is noticed by its absence.
  const waitFor = (counter: Counter) => {
    const until = performance.now() + QUIET;
    while (counter.count(QUIET) === 0 && performance.now() < until);
  };
  const worked = await repeat(milliseconds, breathe, () => {
    there.one();
    waitFor(arrived);
    back.one();
    waitFor(returned);
    there.check();
    back.check();
  });
  return { size, milliseconds: worked, echoes: returned.received };
}

/** Sends a frame again and again. All slots of the card hold it. */
class Sender implements Disposable {
  sent = 0;
  readonly #slots: NetSlots;
  readonly #burst: NetBurst;
  readonly #size: number;
  readonly #polling: Disposable;
  /** Of the last one that failed. */
  #status: number = Status.ok;

  constructor({ slots, mac }: BenchCard, to: BenchCard, size: number) {
    this.#slots = slots;
    this.#burst = new NetBurst(slots.count);
    this.#size = size;
    this.#polling = slots.busyPoll();
    const payload = new Uint8Array(size - FRAME_HEADER);
    const frame = ethernetFrame(to.mac, mac, EtherType.experimental, payload);
    const count = slots.takeBurst(this.#burst);
    const taken = this.#burst.slots.subarray(0, count);
    taken.forEach((slot) => slots.data(slot).set(frame));
    taken.forEach((slot) => slots.release(slot));
  }

  /** Submits as many as there are slots for. */
  fill(): void {
    const count = this.#slots.takeBurst(this.#burst);
    this.#burst.lengths.fill(this.#size, 0, count);
    this.#slots.submitBurst(this.#burst, this.#done);
  }

  /** Submits one. */
  one(): void {
    const slot = this.#slots.take();
    if (slot < 0) return;
    this.#slots.submit(slot, this.#size, this.#done);
    this.#slots.publish();
  }

  /**
   * Waits for those in flight, but not for ever: while this thread is blocked, the core ends none that is late.
   *
   * @param makeRoom Takes what has come: a receiver that is full keeps frames in flight.
   */
  finish(makeRoom: () => void): void {
    const until = performance.now() + LATE;
    while (this.#slots.inFlight > 0 && performance.now() < until) {
      this.#slots.wait(PATIENCE);
      makeRoom();
    }
    this.check();
  }

  /** Throws if one was not sent. */
  check(): void {
    if (this.#status === Status.ok) return;
    throw new RequestError(`Cannot send a frame of ${this.#size} bytes`, this.#status);
  }

  readonly #done = (slot: number, status: number): void => {
    this.#slots.release(slot);
    if (status === Status.ok) this.sent++;
    else this.#status = status;
  };

  [Symbol.dispose](): void {
    this.#polling[Symbol.dispose]();
  }
}

/** Counts frames of one size that come to a card. */
class Counter implements Disposable {
  received = 0;
  readonly #slots: NetSlots;
  readonly #receiver: NetReceiver;
  readonly #burst: NetBurst;
  readonly #size: number;
  readonly #polling: Disposable;

  constructor(slots: NetSlots, size: number) {
    this.#slots = slots;
    this.#receiver = slots.receive();
    this.#burst = new NetBurst(this.#receiver.count);
    this.#size = size;
    this.#polling = slots.busyPoll();
    // What came before is not ours.
    this.#receiver.drain((slot) => this.#receiver.release(slot));
  }

  /** Counts what has come since the last time; if that is nothing, what comes within so many milliseconds. */
  count(wait = 0): number {
    const before = this.received;
    if (this.#receiver.waiting === 0) this.#slots.wait(wait);
    const burst = this.#burst;
    this.#receiver.drainBurst(burst);
    for (let i = 0; i < burst.count; i++) {
      if (burst.more[i] === 0 && burst.lengths[i] === this.#size) this.received++;
    }
    this.#receiver.releaseBurst(burst);
    return this.received - before;
  }

  [Symbol.dispose](): void {
    this.#receiver.publish();
    this.#polling[Symbol.dispose]();
    this.#receiver[Symbol.dispose]();
  }
}
