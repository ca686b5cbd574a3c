import { ClientLane } from "./client_lane.ts";
import { DriverLane } from "./driver_lane.ts";
import { type LaneLayout, lanePlaces } from "./lane.ts";

/** What a pair of lanes for tests is like. */
export interface PairOptions {
  readonly slots: number;
  readonly slotBytes?: number;
  /** Called when the client rings: a driver in the caller's thread may work then. */
  readonly ring?: (pair: Pair) => void;
  /** Called when the client looks for completions. */
  readonly run?: (pair: Pair) => void;
  /** Called when the client would block. */
  readonly wait?: (pair: Pair, timeout: number) => void;
}

/** Both ends of one lane, for the tests beside. */
export class Pair {
  readonly layout: LaneLayout;
  readonly control: SharedArrayBuffer;
  readonly arena: SharedArrayBuffer;
  readonly client: ClientLane;
  driver: DriverLane;
  readonly words: Uint32Array<SharedArrayBuffer>;
  rung = 0;
  busyPolls = 0;

  constructor({ slots, slotBytes = 512, ring, run, wait }: PairOptions) {
    // Not at the beginning of either memory, so that offsets count.
    const control = 256;
    this.layout = { name: "requests", slots, slotBytes, control, data: 1024 };
    this.control = new SharedArrayBuffer(lanePlaces(control, slots).end * 4);
    this.arena = new SharedArrayBuffer(1024 + slots * slotBytes);
    this.words = new Uint32Array(this.control);
    this.driver = new DriverLane(this.control, this.layout);
    this.client = new ClientLane(this.layout, {
      control: this.control,
      arena: this.arena,
      spins: 10,
      ring: () => {
        this.rung++;
        ring?.(this);
      },
      run: () => {
        run?.(this);
        return true;
      },
      wait: (timeout) => wait?.(this, timeout),
      busyPoll: () => {
        this.busyPolls++;
        return { [Symbol.dispose]: () => void this.busyPolls-- };
      },
    });
  }

  /** The driver is started anew. */
  restart(): void {
    this.driver = new DriverLane(this.control, this.layout);
    this.client.restart();
  }

  /** A slot's data as the driver sees it. */
  data(slot: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.arena, this.driver.offset(slot), this.layout.slotBytes);
  }

  /** Takes all requests as the driver. */
  take(): number[] {
    const slots: number[] = [];
    this.driver.take((slot) => slots.push(slot) > 0);
    return slots;
  }

  /** Completes slots as the driver, and shows it. */
  complete(slots: readonly number[], status = 0, length = 0): void {
    for (const slot of slots) this.driver.complete(slot, status, length);
    this.driver.publish();
  }
}
