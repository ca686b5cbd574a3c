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
    const question = { operation: EduOperation.factorial, words: { [Word.first]: n } };
    const { words } = await demand(this.#lane, `Cannot compute ${n}!`, question);
    return words[Word.first]!;
  }

  /** Puts up to 2048 bytes into the device. */
  async store(data: Uint8Array): Promise<void> {
    const question = { operation: EduOperation.store, data };
    await demand(this.#lane, `Cannot store ${data.length} bytes`, question);
  }

  /** Gets bytes from the device. */
  async load(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const question = { operation: EduOperation.load, length };
    const { data } = await demand(this.#lane, `Cannot load ${length} bytes`, question);
    return data;
  }
}

/** An educational device. */
export const edu: DeviceClass<EduClient> = defineClass({
  lanes: ["requests"],
  open: ({ requests }) => ({ client: new EduClient(requests) }),
});
