// The client's end of a lane: slots, their owners, and the order of what was submitted.

import { BusFault } from "./mailbox.ts";
import { applicationError } from "./application_error.ts";
import * as argument from "./arguments.ts";
import { RequestError } from "./request_error.ts";
import * as lane from "./lane.ts";
import { type LaneLayout, type LanePlaces, lanePlaces } from "./lane.ts";

const { RECORD_WORDS, Status, Word } = lane;

/**
 * Called once when a request ends: its slot, a `Status`, and bytes moved. What it throws is an `error` event of the
 * program, and nothing to driver and device.
 */
export type Done = (slot: number, status: number, length: number) => void;

/** What a client needs of the kernel. */
export interface LanePort {
  /** Control memory and arena. */
  readonly control: SharedArrayBuffer;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** Tells the driver that requests were submitted. */
  readonly ring: () => void;
  /**
   * Does what there is to do without waiting, {@linkcode ClientLane.drain} included. Returns whether to look again before
   * it is time to wait: others may need the processor.
   */
  readonly run: () => boolean;
  /** Waits, blocking this thread, until something happens. */
  readonly wait: (timeout: number) => void;
  /** How often to look into the lane before a wait costs a system call. */
  readonly spins: number;
  /** Says that this thread looks by itself until the result is disposed. */
  readonly busyPoll: () => Disposable;
}

/** Which side has a slot. */
const Owner = {
  /** The lane's own. */
  free: 0,
  /** The taker's. */
  taken: 1,
  /** The driver's. */
  inFlight: 2,
} as const;

/**
 * The application's end of a lane. The driver is not trusted: a slot that comes back must be one that is in flight,
 * and each comes back once. Nor is the application: what it submits or releases must be a slot that it has taken.
 */
export class ClientLane {
  /** Number of slots. */
  readonly slots: number = 0;
  /** Bytes of data in each slot. */
  readonly slotBytes: number = 0;
  readonly #port: LanePort;
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #places: LanePlaces;
  readonly #data: readonly Uint8Array<SharedArrayBuffer>[];
  /** Own copy of the records: the driver can write to the shared ones, and a replay must repeat what was asked. */
  readonly #records: Uint32Array<ArrayBuffer>;
  /** When each slot was submitted, as a running number. */
  readonly #order: Float64Array<ArrayBuffer>;
  #sequence = 0;
  readonly #free: Uint16Array<ArrayBuffer>;
  #freeCount = 0;
  /** Whether each slot's request must not be submitted again. */
  readonly #once: Uint8Array<ArrayBuffer>;
  /** Which side has each slot: an {@linkcode Owner}. */
  readonly #owners: Uint8Array<ArrayBuffer>;
  /** The callback of each slot in flight. */
  readonly #done: (Done | undefined)[];
  /** Callbacks that wait for a free slot, in their order; while there are any, no slot is free. */
  readonly #hungry: ((slot: number) => void)[] = [];
  #inFlight = 0;
  #ended = 0;
  #submitted = 0;
  #shown = 0;
  #drained = 0;
  #restarts = 0;
  #gone = false;
  #failing = false;
  /** Ends what was submitted while all was ended. */
  #later: ReturnType<typeof setTimeout> | undefined;
  readonly #countEnded = (): number => this.#ended;

  /** Made by the kernel. */
  constructor(layout: LaneLayout, port: LanePort) {
    const { slots, slotBytes } = layout;
    this.slots = slots;
    this.slotBytes = slotBytes;
    this.#port = port;
    this.#words = new Uint32Array(port.control);
    this.#places = lanePlaces(layout.control, slots);
    this.#data = Array.from(
      { length: slots },
      (_, slot) => new Uint8Array(port.arena, layout.data + slot * slotBytes, slotBytes),
    );
    this.#records = new Uint32Array(slots * RECORD_WORDS);
    this.#order = new Float64Array(slots);
    this.#once = new Uint8Array(slots);
    this.#free = Uint16Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#freeCount = slots;
    this.#owners = new Uint8Array(slots);
    this.#done = new Array(slots).fill(undefined);
  }

  /** Requests that were submitted and have not ended. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether the driver is no more, so that all requests end as `Status.gone`. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Requests that have ended so far. */
  get ended(): number {
    return this.#ended;
  }

  /** Requests that were submitted so far, ended or not. */
  get submissions(): number {
    return this.#sequence;
  }

  /** How often {@linkcode restart} was called. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Which of all submissions, counted from 0, the oldest request in flight is; `Infinity` if there is none. */
  oldest(): number {
    let oldest = Infinity;
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#isInFlight(slot) && this.#order[slot]! < oldest) oldest = this.#order[slot]!;
    }
    return oldest;
  }

  /** Takes a free slot; −1 if there is none. */
  take(): number {
    if (this.#freeCount === 0) return -1;
    const slot = this.#free[--this.#freeCount]!;
    this.#owners[slot] = Owner.taken;
    return slot;
  }

  /**
   * Gives a slot back.
   *
   * @throws TypeError If it is not {@linkcode mustBeTaken | taken}.
   */
  release(slot: number): void {
    this.mustBeTaken(slot, "release");
    // It passes from hand to hand: a later request cannot take it away.
    if (this.#hungry.length > 0) return this.#hungry.shift()!(slot);
    this.#owners[slot] = Owner.free;
    this.#free[this.#freeCount++] = slot;
  }

  /**
   * Calls `use` once, with a slot that is the callee's from then on: at once if one is free, else when client or
   * application give one back. The longest wait ends first. With −1 if the driver is gone and there is none.
   */
  whenFree(use: (slot: number) => void): void {
    const slot = this.take();
    if (slot >= 0 || this.#gone) use(slot);
    else this.#hungry.push(use);
  }

  /**
   * Takes a slot; waits for one as {@linkcode whenFree} does.
   *
   * @param action For the error: `"Cannot send a frame of 60 bytes"`.
   * @throws RequestError If the driver is gone, and no slot was given back.
   */
  async taken(action: string): Promise<number> {
    const slot = await new Promise<number>((resolve) => this.whenFree(resolve));
    if (slot < 0) throw new RequestError(action, Status.gone);
    return slot;
  }

  /**
   * Makes sure that a slot is the caller's: taken, not released since, and not in flight.
   *
   * @param verb What cannot be done otherwise, for the error.
   * @throws TypeError If it is not.
   */
  mustBeTaken(slot: number, verb: string): void {
    if (typeof slot !== "number" || this.#owners[slot] !== Owner.taken) this.#refuse(slot, verb);
  }

  #refuse(slot: number, verb: string): never {
    const why = typeof slot !== "number" || this.#owners[slot] === undefined
      ? `there are 0 to ${this.slots - 1}` + (slot === -1 ? ", and take() gives -1 for none" : "")
      : this.#isInFlight(slot)
      ? "it is in flight, until its callback is called"
      : "it was not taken, or was released since";
    throw new TypeError(`Cannot ${verb} slot ${String(slot)}: ${why}`);
  }

  #isInFlight(slot: number): boolean {
    return this.#owners[slot] === Owner.inFlight;
  }

  /**
   * The data of a slot: memory that the device reads and writes itself.
   *
   * @throws TypeError If there is no such slot.
   */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    const data = this.#data[slot];
    if (data === undefined || typeof slot !== "number") {
      return this.#refuse(slot, "use the data of");
    }
    return data;
  }

  /** Sets a word of a slot's record; before {@linkcode submit}. */
  setWord(slot: number, word: number, value: number): void {
    const at = slot * RECORD_WORDS + word;
    this.#records[at] = value;
    this.#words[this.#places.records + at] = value;
  }

  /** A word of a slot's record as the driver left it; when the request has ended. Not to be trusted. */
  word(slot: number, word: number): number {
    return this.#words[this.#places.records + slot * RECORD_WORDS + word]!;
  }

  /**
   * Submits a slot; the driver sees it after {@linkcode publish}. `done` is called exactly once.
   *
   * @param once Whether doing it twice would do harm: it then ends as `Status.unknown`, if the device has to be started
   * anew before it has ended.
   * @throws TypeError If it is not {@linkcode mustBeTaken | taken}.
   */
  submit(slot: number, done: Done, once = false): void {
    this.mustBeTaken(slot, "submit");
    this.#owners[slot] = Owner.inFlight;
    this.#done[slot] = done;
    this.#once[slot] = once ? 1 : 0;
    this.#order[slot] = this.#sequence++;
    this.#inFlight++;
    if (this.#gone) return;
    this.#words[this.#places.submit + (this.#submitted & this.#places.mask)] = slot;
    this.#submitted = this.#submitted + 1 >>> 0;
  }

  /** Shows what was submitted to the driver. */
  publish(): void {
    if (this.#gone) return this.fail();
    if (this.#submitted === this.#shown) return;
    this.#shown = this.#submitted;
    Atomics.store(this.#words, this.#places.submitted, this.#submitted);
    this.#port.ring();
  }

  /**
   * Calls `done` for all requests that have ended.
   *
   * @returns How many there were.
   * @throws BusFault If the driver completed a slot that is not in flight, or as only the core may.
   */
  drain(): number {
    if (this.#gone) return 0;
    const { completed, complete, mask, records } = this.#places;
    const words = this.#words;
    const count = Atomics.load(words, completed) - this.#drained >>> 0;
    if (count === 0) return 0;
    if (count > this.#inFlight) {
      throw new BusFault(`The driver completed ${count} requests with ${this.#inFlight} in flight`);
    }
    const end = this.#drained + count >>> 0;
    // A callback may wait, and so drain the rest, and more.
    while ((end - this.#drained >>> 0) - 1 >>> 0 < count) {
      const slot = words[complete + (this.#drained & mask)]!;
      if (!this.#isInFlight(slot)) {
        throw new BusFault(`The driver completed slot ${slot}, which is not in flight`);
      }
      const record = records + slot * RECORD_WORDS;
      const status = words[record + Word.status]!;
      if (status !== Status.ok && !this.#mayEndAs(status, slot)) {
        throw new BusFault(`The driver ended a request with status ${status}, as it must not`);
      }
      this.#drained = this.#drained + 1 >>> 0;
      this.#end(slot, status, Math.min(words[record + Word.length]!, this.slotBytes));
    }
    return count;
  }

  /**
   * Waits, blocking this thread, until a request ends.
   *
   * @param timeout Milliseconds at most.
   * @param ended What to count instead of this lane's requests that have ended: where the wait is for several lanes.
   * @returns Requests that ended; 0 if the time is over.
   * @throws RangeError If no timer can wait so long.
   */
  wait(timeout: number, ended: () => number = this.#countEnded): number {
    argument.milliseconds(timeout, "slots.wait", "timeout");
    const { run, spins, wait } = this.#port;
    using _polling = this.#port.busyPoll();
    const deadline = performance.now() + timeout;
    const before = ended();
    if (this.#gone) this.fail();
    // A callback that waits finds here what came together with its own request.
    this.drain();
    for (;;) {
      for (let i = 0; i < spins; i++) {
        const again = run();
        if (ended() !== before) return ended() - before;
        if (!again) break;
      }
      const left = deadline - performance.now();
      if (left <= 0) return 0;
      wait(Math.ceil(left));
      if (ended() !== before) return ended() - before;
    }
  }

  /**
   * Says that this thread calls {@linkcode wait} again and again, so that it need not be woken, until the result
   * is disposed. Promises of this kernel do not settle meanwhile.
   */
  busyPoll(): Disposable {
    let polling: Disposable | undefined = this.#port.busyPoll();
    return {
      [Symbol.dispose]: () => {
        polling?.[Symbol.dispose]();
        polling = undefined;
      },
    };
  }

  /**
   * Begins anew with a driver that was started anew: all requests in flight that bear it are submitted again in their
   * order. The old driver must be gone and its device reset.
   */
  restart(): void {
    const { submitted, completed, records } = this.#places;
    const inFlight = Array.from(this.#owners.keys()).filter((slot) => this.#isInFlight(slot))
      .sort((a, b) => this.#order[a]! - this.#order[b]!);
    this.#restarts++;
    this.#words.set(this.#records, records);
    Atomics.store(this.#words, submitted, 0);
    Atomics.store(this.#words, completed, 0);
    this.#shown = 0;
    this.#drained = 0;
    this.#submitted = 0;
    const [again, once] = [0, 1].map((kind) =>
      inFlight.filter((slot) => this.#once[slot] === kind)
    );
    for (const slot of again!) {
      this.#words[this.#places.submit + this.#submitted++] = slot;
    }
    this.publish();
    for (const slot of once!) if (this.#isInFlight(slot)) this.#end(slot, Status.unknown, 0);
  }

  /** Ends all requests in flight, and all to come, as `Status.gone`: the driver is no more. */
  fail(): void {
    this.#gone = true;
    // A callback may submit again at once, and for ever: that ends later, so that the program goes on.
    if (this.#failing) return;
    this.#failing = true;
    clearTimeout(this.#later);
    const until = this.#sequence;
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#isInFlight(slot) && this.#order[slot]! < until) this.#end(slot, Status.gone, 0);
    }
    this.#failing = false;
    for (const use of this.#hungry.splice(0)) use(-1);
    if (this.#inFlight > 0) this.#later = setTimeout(() => this.fail(), 0);
  }

  /**
   * Whether a driver may end a slot's request so. That it is gone is not the driver's to say; that it is not known what
   * became of a request is, where it may not be tried again: a queue may have been reset alone.
   */
  #mayEndAs(status: number, slot: number): boolean {
    return status === Status.failed || status === Status.unsupported ||
      status === Status.invalid || status === Status.refused ||
      status === Status.unknown && this.#once[slot] === 1;
  }

  /** Ends a request that is in flight. Its slot may be in use again when this returns. */
  #end(slot: number, status: number, length: number): void {
    const done = this.#done[slot]!;
    this.#done[slot] = undefined;
    this.#owners[slot] = Owner.taken;
    this.#inFlight--;
    this.#ended++;
    try {
      done(slot, status, length);
    } catch (error) {
      // That of a client which found the driver lying; an application's never is one.
      if (error instanceof BusFault) throw error;
      applicationError(error);
    }
  }
}
