import {
  type ClientLane,
  defineClass,
  type DeviceClass,
  RequestError,
  Status,
  Word,
} from "@virtio/deno/class";
import { EDU_BYTES, EduOperation } from "./protocol.ts";

/** An application's view of an educational device. */
export class EduClient {
  readonly #lane: ClientLane;

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** The factorial of `n`, in 32 bits. */
  async factorial(n: number): Promise<number> {
    const slot = await this.#ask(EduOperation.factorial, 0, n);
    const result = this.#lane.word(slot, Word.first);
    this.#lane.release(slot);
    return result;
  }

  /** Puts up to 4096 bytes into the device. */
  async store(bytes: Uint8Array): Promise<void> {
    this.#lane.release(await this.#ask(EduOperation.store, bytes.length, 0, bytes));
  }

  /** Gets bytes from the device. */
  async load(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const slot = await this.#ask(EduOperation.load, length, 0);
    const bytes = this.#lane.data(slot).slice(0, length) as unknown as Uint8Array<ArrayBuffer>;
    this.#lane.release(slot);
    return bytes;
  }

  #ask(operation: number, length: number, argument: number, data?: Uint8Array): Promise<number> {
    const lane = this.#lane;
    const slot = lane.take();
    if (slot < 0 || length > EDU_BYTES) {
      return Promise.reject(new RangeError("Too much for an edu"));
    }
    lane.setWord(slot, Word.operation, operation);
    lane.setWord(slot, Word.length, length);
    lane.setWord(slot, Word.first, argument);
    if (data) lane.data(slot).set(data);
    return new Promise((resolve, reject) => {
      lane.submit(slot, (_, status) => {
        if (status === Status.ok) return resolve(slot);
        lane.release(slot);
        reject(new RequestError("Cannot use the edu", status));
      });
      lane.publish();
    });
  }
}

/** An educational device. */
export const edu: DeviceClass<EduClient> = defineClass({
  lanes: ["requests"],
  open: ({ requests }) => ({ client: new EduClient(requests) }),
});
