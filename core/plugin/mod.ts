/**
 * Everything that a driver imports.
 *
 * A driver is two files: `plugin.json`, which says which PCI devices it drives, and a module that defines a plugin.
 * It runs in a process of its own without any permission, or inside an application that trusts it.
 *
 * @module
 */

export { definePlugin } from "./plugin.ts";
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
export { definePciPlugin } from "./pci_plugin.ts";
export type {
  DefinedPciPlugin,
  PciDevice,
  PciDriver,
  PciOffer,
  PciPlan,
  PciPlugin,
  RegisterWindow,
} from "./pci_plugin.ts";
export type { Tunables } from "./tunables.ts";
export type { DriverLane } from "../bus/driver_lane.ts";
export { Status, Word } from "../bus/lane.ts";
export type { Virtqueue } from "../virtqueue/virtqueue.ts";
