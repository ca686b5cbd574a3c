import { type ClientLane, defineClass, demand, type DeviceClass, Word } from "@virtio/deno/class";
import { PanicEvent, WHICH } from "./protocol.ts";

/** An application's view of a device that tells of panics. */
export class PanicClient {
  readonly #lane: ClientLane;

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** The names of the events that the device knows. */
  async events(): Promise<readonly (keyof typeof PanicEvent)[]> {
    const { words } = await demand(this.#lane, "Cannot ask for events", { operation: WHICH });
    const names = Object.keys(PanicEvent) as (keyof typeof PanicEvent)[];
    return names.filter((name) => words[Word.first]! & PanicEvent[name]);
  }

  /**
   * Tells the machine around this one of an event. It is told once, even if the driver dies meanwhile.
   *
   * @throws RequestError If the device does not know it, or it is not known whether it was told.
   */
  async tell(event: keyof typeof PanicEvent): Promise<void> {
    const question = { operation: PanicEvent[event], once: true };
    await demand(this.#lane, `Cannot tell of the event ${event}`, question);
  }
}

/** A device that tells of panics. */
export const panic: DeviceClass<PanicClient> = defineClass({
  lanes: ["requests"],
  open: ({ requests }) => ({ client: new PanicClient(requests) }),
});
