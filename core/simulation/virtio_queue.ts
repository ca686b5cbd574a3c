import { type Chain, chain, type DeviceQueue } from "../virtqueue/device_queue.ts";
import { NO_VECTOR } from "./common_config.ts";
import type { Areas, Ring } from "./ring.ts";

/** A queue as its registers show it (virtio 1.4, 4.1.4.3). */
export class VirtioQueue {
  size: number;
  vector = NO_VECTOR;
  /** Low and high words of the addresses of descriptors, driver area and device area. */
  readonly areas = new Uint32Array(6);
  /** Where its ring is, once it is enabled; {@linkcode device} is the device's side of it. */
  ring: Ring | undefined;
  /** As which version of the memory was it there. */
  version = 0;
  device: DeviceQueue | undefined;
  chain: Chain = chain(0);
  /** Whether the driver has notified the device since it looked last. */
  rung = false;
  /** Descriptors that were taken since the device began to look. */
  consumed = 0;

  constructor(readonly largest: number) {
    this.size = largest;
  }

  /** The three addresses. */
  get addresses(): Areas {
    const at = (area: number) => this.areas[area + 1]! * 2 ** 32 + this.areas[area]!;
    return { descriptors: at(0), driver: at(2), device: at(4) };
  }

  /** Enables it. */
  enable(ring: Ring, device: DeviceQueue): void {
    this.ring = ring;
    this.device = device;
    this.chain = chain(this.size);
  }
}
