/**
 * Everything that a driver imports.
 *
 * A driver is two files: `plugin.json`, which says which PCI devices it drives, and a module that defines a plugin.
 * It runs in a process of its own without any permission, or inside an application that trusts it.
 *
 * @module
 */

export { API, definePlugin } from "./plugin.ts";
export type {
  Buffer,
  Config,
  Decline,
  Device,
  Driver,
  LanePlan,
  Offer,
  Plan,
  Plugin,
  Properties,
  QueuePlan,
} from "./plugin.ts";
export type { Tunables, TunableValue } from "./tunables.ts";
export type { DriverLane } from "../class/driver_lane.ts";
export { Status, Word } from "../class/lane.ts";
export {
  BALLOON_PAGE,
  BalloonOperation,
  BalloonWord,
  MEMORY_STATISTICS,
  type MemoryStatistic,
  STATISTICS_BYTES,
} from "../class/balloon.ts";
export {
  dataInOffset,
  ScsiAttribute,
  ScsiControl,
  ScsiControlWord,
  ScsiEventWord,
  ScsiTail,
  ScsiWord,
} from "../class/scsi.ts";
export { ConsoleOperation, ConsoleWord, PortState } from "../class/console.ts";
export { BlockOperation, BlockWord, UNMAP } from "../class/block.ts";
export {
  NET_STATISTICS,
  NetChecksum,
  NetControlWord,
  NetEventWord,
  NetOperation,
  NetReceiveWord,
  NetSegmentation,
  NetTransmitWord,
  RECEIVE_OFFLOADS,
  TRANSMIT_OFFLOADS,
} from "../class/net.ts";
export type { QueueCounters, QueueFault, Virtqueue } from "../virtqueue/virtqueue.ts";
