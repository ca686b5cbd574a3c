import { type ClientLane, defineClass, demand, type DeviceClass, Word } from "@virtio/deno/class";
import { EduOperation } from "./protocol.ts";

/** An application's view of an educational device. */
export class EduClient {
  readonly #lane: ClientLane;

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** The factorial of `n`, in 32 bits. */
  async factorial(n: number): Promise<number> {
    const operation = EduOperation.factorial;
    const { words } = await demand(this.#lane, "Cannot compute a factorial", {
      operation,
      words: { [Word.first]: n },
    });
    return words[Word.first]!;
  }

  /**
   * Puts bytes into the device.
   *
   * @throws RangeError If they are more than 2048.
   */
  async store(data: Uint8Array): Promise<void> {
    await demand(this.#lane, "Cannot store bytes", { operation: EduOperation.store, data });
  }

  /**
   * Gets bytes from the device.
   *
   * @throws RangeError If they are more than 2048.
   */
  async load(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const operation = EduOperation.load;
    const { data } = await demand(this.#lane, "Cannot load bytes", { operation, length });
    return data;
  }
}

/** An educational device. */
export const edu: DeviceClass<EduClient> = defineClass({
  lanes: ["requests"],
  open: ({ requests }) => ({ client: new EduClient(requests) }),
});
