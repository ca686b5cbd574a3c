/**
 * Virtqueues, split and packed, from both sides, over any shared memory (virtio 1.4, 2.7 and 2.8): pure, and the same code that
 * drivers and simulated devices use.
 *
 * @module
 */

export { type AddressTable, addressTable, type DmaRun } from "../dma/address_table.ts";
export { type DriverRingOptions, makeDriverQueue } from "./driver_queue.ts";
export type { DriverQueue, QueueCounters, QueueFault, Virtqueue } from "./virtqueue.ts";
export { makeDeviceQueue } from "./make_device_queue.ts";
export {
  type Chain,
  type Descriptor,
  type DeviceQueue,
  type DeviceRingOptions,
  DriverFault,
  type HonestQueue,
  type RingPlace,
  type Taken,
} from "./device_queue.ts";
export {
  DESCRIPTOR_BYTES,
  LARGEST_QUEUE,
  layoutPacked,
  layoutSplit,
  MOST_SEGMENTS,
  type QueueKind,
  type QueueLayout,
  wrongSize,
} from "./layout.ts";
