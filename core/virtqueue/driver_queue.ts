import type { DriverRingOptions } from "./driver_ring.ts";
import { PackedDriver } from "./packed_driver.ts";
import { SplitDriver } from "./split_driver.ts";
import type { DriverQueue } from "./virtqueue.ts";

export type { DriverRingOptions } from "./driver_ring.ts";

/** Makes the driver side of a virtqueue, of the kind that its layout says. */
export function makeDriverQueue(options: DriverRingOptions): DriverQueue {
  switch (options.layout.kind) {
    case "split":
      return new SplitDriver(options);
    case "packed":
      return new PackedDriver(options);
  }
}
