import type { DeviceRingOptions, HonestQueue } from "./device_queue.ts";
import type { QueueKind } from "./layout.ts";
import { PackedDevice } from "./packed_device.ts";
import { SplitDevice } from "./split_device.ts";

/** Makes the device side of a virtqueue. */
export function makeDeviceQueue(kind: QueueKind, options: DeviceRingOptions): HonestQueue {
  switch (kind) {
    case "split":
      return new SplitDevice(options);
    case "packed":
      return new PackedDevice(options);
  }
}
