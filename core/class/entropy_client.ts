import type { ClientLane } from "./client_lane.ts";
import { Status, Word } from "./lane.ts";
import { RequestError } from "./request_error.ts";

/** An application's view of an entropy device. */
export class EntropyClient {
  readonly #lane: ClientLane;
  /** Those who wait for a free slot. */
  readonly #waiting: (() => void)[] = [];

  /** Made by the kernel. */
  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /**
   * Random bytes from the device.
   *
   * @param length How many.
   * @throws RequestError If the device delivers none.
   */
  async read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!Number.isInteger(length) || length < 0) {
      throw new RangeError(`Cannot read ${length} random bytes`);
    }
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const got = await this.#request(bytes, done);
      if (got === 0) throw new RequestError("Cannot read random bytes", Status.invalid);
      done += got;
    }
    return bytes;
  }

  async #request(into: Uint8Array, at: number): Promise<number> {
    let slot = this.#lane.take();
    while (slot < 0) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      slot = this.#lane.take();
    }
    const lane = this.#lane;
    const wanted = Math.min(into.length - at, lane.slotBytes);
    lane.setWord(slot, Word.length, wanted);
    return await new Promise((resolve, reject) => {
      lane.submit(slot, (_, status, length) => {
        const got = Math.min(length, wanted);
        const data = lane.data(slot);
        into.set(data.subarray(0, got), at);
        // These bytes are somebody's secret now; nobody else shall find them here.
        data.fill(0, 0, got);
        lane.release(slot);
        this.#waiting.shift()?.();
        if (status === Status.ok) resolve(got);
        else reject(new RequestError("Cannot read random bytes", status));
      });
      lane.publish();
    });
  }
}
