import { ClientLane, type LanePort } from "../bus/client_lane.ts";
import type { LaneLayout } from "../bus/lane.ts";
import type { DeviceTrace } from "../trace/trace.ts";
import { TracedClientLane } from "../trace/traced_lanes.ts";
import { DriverGone } from "./conversation.ts";
import { Deadline } from "./deadline.ts";
import type { LaneDescription } from "./device.ts";

/** The client's ends of a device's lanes. They outlive its drivers: one that is started anew finds the requests in them. */
export class ClientLanes {
  readonly #layouts: readonly LaneLayout[];
  readonly #lanes: readonly ClientLane[];
  readonly #deadlines: readonly Deadline[];
  /** Requests that had ended when it was last asked how many. */
  #completed = 0;

  /** @param deadlines Milliseconds that a request may take, lane by lane; 0 for ever. */
  constructor(
    layouts: readonly LaneLayout[],
    deadlines: readonly number[],
    port: LanePort,
    trace: DeviceTrace | undefined,
  ) {
    this.#layouts = layouts;
    this.#lanes = layouts.map((layout) =>
      trace
        ? new TracedClientLane(layout, port, (event) => trace.tell(event))
        : new ClientLane(layout, port)
    );
    this.#deadlines = this.#lanes.map((lane, i) => new Deadline(lane, deadlines[i]!));
  }

  /** Each by its name in the plan. */
  get byName(): ReadonlyMap<string, ClientLane> {
    return new Map(this.#layouts.map(({ name }, i) => [name, this.#lanes[i]!]));
  }

  /**
   * Puts what is in flight to a driver that was started anew.
   *
   * @throws DriverGone If it has other lanes than the one before.
   */
  resume(layouts: readonly LaneLayout[]): void {
    if (JSON.stringify(layouts) !== JSON.stringify(this.#layouts)) {
      throw new DriverGone("the driver came back with other lanes than before");
    }
    this.#lanes.forEach((lane) => lane.restart());
    this.#deadlines.forEach((deadline) => deadline.restart());
  }

  /** Ends the requests that the driver has completed. */
  drain(): void {
    for (let i = 0; i < this.#lanes.length; i++) this.#lanes[i]!.drain();
  }

  /** How many requests ended since it was last asked, those that a client took itself among them. */
  completions(): number {
    const before = this.#completed;
    this.#completed = this.#lanes.reduce((sum, { ended }) => sum + ended, 0);
    return this.#completed - before;
  }

  /** The deadline that a request has passed, in milliseconds; undefined if none has. */
  late(now: number): number | undefined {
    // Each takes its notes, also behind one that has found something.
    return this.#deadlines.filter((deadline) => deadline.passed(now))[0]?.milliseconds;
  }

  /** Ends all requests as gone. */
  fail(): void {
    this.#lanes.forEach((lane) => lane.fail());
  }

  /** They in figures. */
  describe(): LaneDescription[] {
    return this.#lanes.map((lane, i) => ({
      name: this.#layouts[i]!.name,
      slots: lane.slots,
      submitted: lane.submissions,
      ended: lane.ended,
      inFlight: lane.inFlight,
    }));
  }
}
