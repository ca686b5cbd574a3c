// A queue that the front-end serves itself.

import { mapShared } from "../../core/linux/memory.ts";
import type { DmaMemory } from "../../core/pci/function.ts";
import { type Chain, chain, type DeviceQueue } from "../../core/virtqueue/device_queue.ts";
import { makeDeviceQueue } from "../../core/virtqueue/make_device_queue.ts";
import { DeviceMemory } from "../device_memory.ts";
import { PieceRequest } from "../piece_request.ts";
import { type Areas, findRing } from "../ring.ts";

/** Bytes of the longest command that is looked at. */
const MOST_COMMAND = 4096;

/**
 * The device's side of a queue that a back-end knows nothing of: commands, which are answered at once by one byte each.
 */
export class OwnQueue {
  readonly #memory = new DeviceMemory();
  readonly #device: DeviceQueue;
  readonly #chain: Chain;
  readonly #answer: (command: Uint8Array) => number;

  /**
   * Finds its ring.
   *
   * @throws {DriverFault} If that cannot be there.
   */
  constructor(
    memories: readonly DmaMemory[],
    size: number,
    areas: Areas,
    features: bigint,
    answer: (command: Uint8Array) => number,
  ) {
    for (const { fd, offset, size, runs } of memories) {
      this.#memory.add(mapShared(fd, offset, size), runs);
    }
    const ring = findRing(this.#memory, size, areas, features);
    this.#device = makeDeviceQueue(ring.kind, ring);
    this.#chain = chain(size);
    this.#answer = answer;
  }

  /**
   * Answers what is there.
   *
   * @returns Whether the driver wants to be interrupted.
   * @throws {DriverFault} If the driver broke a rule.
   */
  serve(): boolean {
    let wanted = false;
    do {
      while (this.#device.take(this.#chain)) this.#one();
      wanted = this.#device.publish() || wanted;
    } while (this.#device.arm());
    return wanted;
  }

  #one(): void {
    const { head, count, readable, address, length } = this.#chain;
    const pieces: Uint8Array<SharedArrayBuffer>[] = [];
    let toRead = 0;
    for (let i = 0; i < count; i++) {
      this.#memory.pieces(address[i]!, length[i]!, i >= readable, pieces);
      if (i < readable) toRead = pieces.length;
    }
    const request = new PieceRequest(pieces, toRead, (written) => this.#device.put(head, written));
    const command = new Uint8Array(Math.min(request.readable, MOST_COMMAND));
    request.read(command);
    request.complete(request.write(Uint8Array.of(this.#answer(command))));
  }
}
