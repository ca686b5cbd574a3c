import { argument } from "../../core/class/mod.ts";

/** Slots that a burst has room for if nothing else is said. */
const USUAL = 64;

/**
 * Frames that come or go together, as numbers in arrays: made once, and used again and again.
 *
 * `NetSlots.takeBurst` and `NetReceiver.drainBurst` fill it; what was filled stands in the first {@linkcode count} places of
 * each array. `NetSlots.submitBurst` and `NetReceiver.releaseBurst` empty it.
 */
export class NetBurst {
  /** Slots that have room in it. */
  readonly capacity: number;
  /** Slots that are in it. It may be made smaller: what is left out stays with its owner. */
  count = 0;
  /** Their numbers. */
  readonly slots: Uint16Array<ArrayBuffer>;
  /** Where in the slot's data its bytes begin; of frames to send this is nothing but 0. */
  readonly offsets: Uint16Array<ArrayBuffer>;
  /** How many there are. */
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** Slots of the same frame that follow; of frames to send this is nothing but 0. */
  readonly more: Uint16Array<ArrayBuffer>;

  /**
   * Makes one that is empty.
   *
   * @param capacity Slots that shall have room in it, 1 to 4096.
   * @throws RangeError If it is not.
   */
  constructor(capacity: number = USUAL) {
    argument.integer(capacity, "NetBurst", "capacity", 1, 4096);
    this.capacity = capacity;
    this.slots = new Uint16Array(capacity);
    this.offsets = new Uint16Array(capacity);
    this.lengths = new Uint32Array(capacity);
    this.more = new Uint16Array(capacity);
  }
}

/**
 * Makes sure that this is a burst.
 *
 * @throws TypeError If it is another thing.
 */
export function mustBeBurst(burst: NetBurst, where: string): void {
  if (burst instanceof NetBurst) return;
  const what = argument.shown(burst);
  throw new TypeError(
    `Cannot use the argument burst of ${where}: it is ${what}, wanted a NetBurst`,
  );
}

/**
 * Makes sure that this is a burst, and that its count can be.
 *
 * @throws TypeError If it is another thing.
 * @throws RangeError If it says to hold more than has room.
 */
export function mustBeFilled(burst: NetBurst, where: string): void {
  mustBeBurst(burst, where);
  argument.integer(burst.count, where, "burst.count", 0, burst.capacity);
}
