// A queue of a simulated device, as its registers show it.

import {
  type Chain,
  chain,
  type DeviceQueue,
  type HonestQueue,
  type RingPlace,
} from "../core/virtqueue/device_queue.ts";
import { CommonQueue } from "./common_registers.ts";
import type { Ring } from "./ring.ts";

/** A queue that was paused while requests were out that others had overtaken: the next to go on there needs to know. */
export interface Left {
  readonly ring: Ring;
  readonly honest: HonestQueue;
  readonly device: DeviceQueue;
  /** Where it was paused. */
  readonly place: RingPlace;
  /** The requests that were out. */
  readonly requests: readonly Chain[];
}

/** A queue as its registers show it (virtio 1.4, 4.1.4.3). */
export class VirtioQueue extends CommonQueue {
  /** Where its ring is, once it is enabled; {@linkcode device} is the device's side of it. */
  ring: Ring | undefined;
  /** As which version of the memory was it there. */
  version = 0;
  device: DeviceQueue | undefined;
  /** The same, if nothing stands before it that lies. */
  honest: HonestQueue | undefined;
  chain: Chain = chain(0);
  /** Fill the chain with requests that are to be answered before all others: they were out when the queue was left. */
  again: ((chain: Chain) => void)[] = [];
  /** What is to be known to go on where the queue was paused. */
  left: Left | undefined;
  readonly #out = new Map<number, Chain>();
  #taken = 0;
  #ended = 0;
  /** Whether the driver has notified the device since it looked last. */
  rung = false;
  /** Descriptors that were taken since the device began to look. */
  consumed = 0;

  constructor(readonly largest: number) {
    super(largest);
  }

  get enabled(): boolean {
    return this.ring !== undefined;
  }

  /** Enables it. `device` is `honest`, or stands before it. */
  enable(ring: Ring, honest: HonestQueue, device: DeviceQueue = honest): void {
    this.ring = ring;
    this.honest = honest;
    this.device = device;
    this.chain = chain(this.size);
  }

  /** A request was taken and is out. Returns its number, which {@linkcode end} wants. */
  begin({ head, count, readable, address, length }: Chain): number {
    this.#out.set(this.#taken, {
      head,
      count,
      readable,
      address: address.slice(0, count),
      length: length.slice(0, count),
    });
    return this.#taken++;
  }

  /** A request is given back. */
  end(number: number): void {
    if (this.#out.delete(number)) this.#ended++;
  }

  /** The requests that are out, the oldest first. */
  get out(): readonly Chain[] {
    return [...this.#out.values()];
  }

  /** A request that is out. */
  outAs(number: number): Chain | undefined {
    return this.#out.get(number);
  }

  /** Whether a request was given back while an older one is out. */
  get overtaken(): boolean {
    const [oldest = this.#taken] = this.#out.keys();
    return this.#ended > oldest;
  }
}
