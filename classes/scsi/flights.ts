import type { ClientLane } from "../../core/class/mod.ts";
import { endLate, type LateCommand } from "./ladder.ts";
import { ScsiControl } from "./protocol.ts";
import type { TaskManagement } from "./task_management.ts";

/** How often late commands are looked for, in milliseconds. */
const WATCH = 50;

/** Where the command of a slot is. */
const Flight = {
  /** Nowhere. */
  none: 0,
  /** With the device; no look has seen it there yet. */
  begun: 1,
  /** With the device since the time that is noted. */
  seen: 2,
  /** With the device for too long: its end is under way. */
  late: 3,
} as const;

interface Late extends LateCommand {
  over: boolean;
  readonly end: () => void;
}

/**
 * The commands that are with the device, by their slots, and the end of those that take too long. To begin and to end
 * one costs no timer, clock or object: the time of a command begins when a look sees it for the first time.
 */
export class Flights {
  /** Commands whose time was over. */
  timeouts = 0;
  readonly #lane: ClientLane;
  readonly #manager: TaskManagement;
  readonly #busReset: boolean;
  readonly #states: Uint8Array<ArrayBuffer>;
  readonly #addresses: Uint32Array<ArrayBuffer>;
  readonly #timeouts: Float64Array<ArrayBuffer>;
  readonly #since: Float64Array<ArrayBuffer>;
  /** Task management functions about a slot's command that are not answered yet. */
  readonly #managed: Uint8Array<ArrayBuffer>;
  /** Slots to give back when these are. */
  readonly #owed: Uint8Array<ArrayBuffer>;
  /** Called for a command whose unit is not there. */
  readonly #abandon: ((() => void) | undefined)[];
  readonly #late: (Late | undefined)[];
  #count = 0;
  #watch: ReturnType<typeof setInterval> | undefined;

  /** @param busReset Whether a command that nothing else ends may cost a reset of its target. */
  constructor(lane: ClientLane, manager: TaskManagement, busReset: boolean) {
    const { slots } = lane;
    this.#lane = lane;
    this.#manager = manager;
    this.#busReset = busReset;
    this.#states = new Uint8Array(slots);
    this.#addresses = new Uint32Array(slots);
    this.#timeouts = new Float64Array(slots);
    this.#since = new Float64Array(slots);
    this.#managed = new Uint8Array(slots);
    this.#owed = new Uint8Array(slots);
    this.#abandon = new Array(slots).fill(undefined);
    this.#late = new Array(slots).fill(undefined);
  }

  /**
   * A command begins.
   *
   * @param address Its unit, as a word.
   * @param timeout Milliseconds that it may take.
   * @param abandon Called if its unit is not there: the device may keep it, and its slot, for ever.
   */
  begin(slot: number, address: number, timeout: number, abandon?: () => void): void {
    this.#states[slot] = Flight.begun;
    this.#addresses[slot] = address;
    this.#timeouts[slot] = timeout;
    this.#abandon[slot] = abandon;
    this.#count++;
    if (this.#watch === undefined) this.#start();
  }

  /** Whether the time of the command in this slot is over. */
  isLate(slot: number): boolean {
    return this.#states[slot] === Flight.late;
  }

  /** A command has ended. */
  end(slot: number): void {
    this.#states[slot] = Flight.none;
    this.#count--;
    const late = this.#late[slot];
    if (late === undefined) return;
    this.#late[slot] = undefined;
    late.over = true;
    late.end();
  }

  /** Gives the slot of a command that has ended back, when no function is about it any more. */
  release(slot: number): void {
    if (this.#managed[slot] === 0) this.#lane.release(slot);
    else this.#owed[slot] = 1;
  }

  /** Has the device abort a command. */
  abort(slot: number): void {
    const address = this.#addresses[slot]!;
    void this.#manage(
      slot,
      () => this.#manager.request(ScsiControl.abortTask, address, slot),
    );
  }

  /** Hastens the end of all commands to a unit that is gone. */
  lose(address: number): void {
    for (const [slot, state] of this.#states.entries()) {
      if (state !== Flight.none && state !== Flight.late && this.#addresses[slot] === address) {
        this.#states[slot] = Flight.seen;
        this.#since[slot] = -Infinity;
      }
    }
  }

  /** Device and driver were started anew, and all commands get their time again. */
  restarted(): void {
    for (const [slot, state] of this.#states.entries()) {
      if (state !== Flight.none) this.#states[slot] = Flight.begun;
    }
  }

  #start(): void {
    if (!this.#lane.gone) this.#watch = setInterval(() => this.#look(), WATCH);
  }

  /** The device is gone: nothing is looked for any more. */
  stop(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  /** Looks for commands whose time is over. */
  #look(): void {
    if (this.#count === 0) return this.stop();
    const now = performance.now();
    for (const [slot, state] of this.#states.entries()) {
      if (state === Flight.begun) {
        this.#states[slot] = Flight.seen;
        this.#since[slot] = now;
      } else if (state === Flight.seen && now - this.#since[slot]! >= this.#timeouts[slot]!) {
        this.#states[slot] = Flight.late;
        this.timeouts++;
        void this.#manage(slot, () => this.#endLate(slot));
      }
    }
  }

  async #endLate(slot: number): Promise<void> {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const late: Late = { slot, address: this.#addresses[slot]!, over: false, ended, end };
    this.#late[slot] = late;
    const abandon = this.#abandon[slot];
    if (!await endLate(late, this.#manager, this.#busReset)) abandon?.();
  }

  /** Does something about a command, which keeps its slot meanwhile. */
  async #manage(slot: number, work: () => Promise<unknown>): Promise<void> {
    this.#managed[slot]!++;
    try {
      await work();
    } finally {
      if (--this.#managed[slot]! === 0 && this.#owed[slot] === 1) {
        this.#owed[slot] = 0;
        this.#lane.release(slot);
      }
    }
  }
}
