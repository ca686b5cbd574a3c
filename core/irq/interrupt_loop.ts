// The loop in which the core and each driver host wait for descriptors and bells.

import type { Bell } from "../bus/bell.ts";
import { clearer, close, eventfd, signaller } from "../linux/fd.ts";
import { type Poll, pollAsync, poller, POLLIN, yielder } from "../linux/poll.ts";

/** What happens soon is found sooner from here than by another thread: so often is looked before that waits, at most and at least. */
const LOOKS = 48, FEWEST = 1;
/** A wait that was shorter shows that more looks would have saved it; a longer one, that fewer will do. Milliseconds. */
const NAP_MS = 0.2;

/** What waits for descriptors on behalf of others. */
export interface Loop {
  /**
   * Calls `handler` whenever `fd` is readable or its other side is gone, until it is removed. Adding it again changes
   * what it waits for.
   *
   * @param events What to wait for instead: `POLLIN`, `POLLOUT` or both.
   */
  add(fd: number, handler: () => unknown, events?: number): void;
  /** Forgets a descriptor. The owner closes it afterwards. */
  remove(fd: number): void;
}

/** What is found by a look as well as by an interrupt. */
export interface Polled {
  /** Looks, and does what there is to do. Returns whether anything was. */
  run(): boolean;
  /** Nothing looks any more: interrupts are wanted again. */
  rearm(): void;
}

interface Entry {
  readonly fd: number;
  readonly events: number;
  readonly handler: () => unknown;
}

interface Belled {
  readonly bell: Bell;
  readonly fd: number;
  readonly handler: (causes: number) => void;
}

/**
 * The interrupt loop: waits on descriptors (interrupts, doorbells, pipes, ends of processes) and on bells, and calls
 * their handlers on this thread.
 *
 * A driver host runs it by hand, blocking. The core starts it once, and it waits on another thread, so that
 * timers and promises go on; a client in a hurry may run it by hand as well, meanwhile.
 */
export class InterruptLoop implements Loop, AsyncDisposable {
  readonly #entries = new Map<number, Entry>();
  readonly #bells = new Map<number, Belled>();
  readonly #polled = new Set<Polled>();
  /** Wakes the thread that waits. No other looks at it: what was taken in its place would not wake it any more. */
  readonly #nudgeFd = eventfd();
  readonly #nudge = signaller(this.#nudgeFd);
  readonly #clearNudge = clearer(this.#nudgeFd);
  /** The entries in the order of the set; both, and what waits for the set, are made anew after a change. */
  #list: readonly Entry[] = [];
  #set: Int32Array<ArrayBuffer> = new Int32Array(0);
  #poll: Poll = poller(this.#set);
  #changed = true;
  #running: Promise<void> | undefined;
  /** Whether another thread waits, so that this one must wake it. */
  #waiting = false;
  #busyPolled = 0;
  #looks = FEWEST;
  readonly #yield = yielder();
  #closed = false;

  add(fd: number, handler: () => unknown, events = POLLIN): void {
    this.#entries.set(fd, { fd, events, handler });
    this.#change();
  }

  remove(fd: number): void {
    this.#entries.delete(fd);
    this.#bells.delete(fd);
    this.#change();
  }

  /** Whether it waits for a descriptor. */
  waitsFor(fd: number): boolean {
    return this.#entries.has(fd) || fd === this.#nudgeFd;
  }

  /** Answers a bell that this thread owns. `fd` is the eventfd that wakes its owner. */
  addBell(
    bell: Bell,
    fd: number,
    handler: (causes: number) => void,
    clear: () => unknown = clearer(fd),
  ): void {
    this.#bells.set(fd, { bell, fd, handler });
    this.add(fd, clear);
  }

  /** Looks at something by itself while it looks on, so that it need not interrupt, until that is removed. */
  addPolled(polled: Polled): void {
    this.#polled.add(polled);
  }

  /** Forgets what {@linkcode addPolled} got. */
  removePolled(polled: Polled): void {
    this.#polled.delete(polled);
  }

  /**
   * Waits once, blocking this thread, and calls the handlers of all that happened.
   *
   * @param timeout Milliseconds at most; 0 only looks.
   * @returns Whether anything happened.
   */
  runOnce(timeout: number): boolean {
    let happened = this.#answer();
    this.#refresh();
    const list = this.#list;
    const set = this.#set;
    // One that only looks is not asleep meanwhile: to wake it would cost a call, and nothing would be found sooner.
    const ready = this.#poll(happened || timeout === 0 || !this.#sleep() ? 0 : timeout);
    this.#awake();
    if (ready > 0) {
      happened = true;
      this.#dispatch(set, list);
    }
    if (this.#answer()) happened = true;
    this.#rearm();
    return happened;
  }

  /**
   * Says that this thread runs the loop or looks at its lanes by itself, so that ringers need not wake it and devices
   * need not interrupt, until the result is disposed.
   */
  busyPoll(): Disposable {
    this.#busyPolled++;
    this.#awake();
    return {
      [Symbol.dispose]: () => {
        if (--this.#busyPolled > 0) return;
        for (const polled of this.#polled) polled.rearm();
        this.#rearm();
      },
    };
  }

  /** Whether this thread looks by itself. */
  get busyPolled(): boolean {
    return this.#busyPolled > 0;
  }

  /** Lets the loop wait by itself until it is disposed. Keeps the process alive. */
  start(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      await this.#lookOn();
      this.#answer();
      this.#refresh();
      // The waiting thread has a set of its own: this one may run the loop by hand meanwhile.
      const list = this.#list;
      const set = Int32Array.of(...this.#set, this.#nudgeFd, POLLIN);
      const mayWait = this.#sleep();
      this.#waiting = true;
      const before = performance.now();
      await pollAsync(set, list.length + 1, mayWait ? -1 : 0);
      this.#waiting = false;
      if (set.at(-1)! !== POLLIN) this.#clearNudge();
      const napped = performance.now() - before < NAP_MS;
      this.#looks = napped ? Math.min(this.#looks * 4, LOOKS) : Math.max(this.#looks >> 2, FEWEST);
      this.#awake();
      this.#dispatch(set, list);
    }
  }

  /** Looks until that was often enough in vain. Timers and promises go on meanwhile. */
  async #lookOn(): Promise<void> {
    using _polling = this.busyPoll();
    for (let vain = 1; vain <= this.#looks && !this.#closed; vain++) {
      let found = this.runOnce(0);
      for (const polled of this.#polled) found = polled.run() || found;
      if (found) vain = 0;
      // What is looked for may come of a driver's process that waits for this processor.
      else if (!this.#yield()) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #change(): void {
    this.#changed = true;
    if (this.#waiting) this.#nudge();
  }

  #refresh(): void {
    if (!this.#changed) return;
    this.#changed = false;
    this.#list = [...this.#entries.values()];
    this.#set = Int32Array.from(this.#list.flatMap(({ fd, events }) => [fd, events]));
    this.#poll = poller(this.#set);
  }

  #dispatch(set: Int32Array, list: readonly Entry[]): void {
    for (let i = 0; i < list.length; i++) {
      const entry = list[i]!;
      const seen = set[2 * i + 1]! >>> 16;
      // A handler may have removed this one, or its number may belong to another by now.
      if (seen !== 0 && this.#entries.get(entry.fd) === entry) entry.handler();
    }
  }

  #answer(): boolean {
    let any = false;
    for (const { bell, handler } of this.#bells.values()) {
      const causes = bell.take();
      if (causes === 0) continue;
      any = true;
      handler(causes);
    }
    return any;
  }

  #sleep(): boolean {
    let all = true;
    for (const { bell } of this.#bells.values()) all = bell.sleep() && all;
    return all;
  }

  #awake(): void {
    for (const { bell } of this.#bells.values()) bell.awake();
  }

  /**
   * While another thread waits, and this one does not look by itself, ringers must find the owner asleep. One that
   * rings all the time does not keep this thread here: the loop is woken to look again, after all others.
   */
  #rearm(): void {
    if (!this.#waiting || this.#busyPolled > 0 || this.#sleep()) return;
    this.#answer();
    if (!this.#sleep()) this.#nudge();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#nudge();
    await this.#running;
    close(this.#nudgeFd);
  }
}
