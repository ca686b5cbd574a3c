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
export type { PciIdentity } from "../pci/identity.ts";
export type { VirtioIdentity } from "../pci/virtio_identity.ts";
export type { Tunables, TunableValue } from "./tunables.ts";
export type { DriverLane } from "../bus/driver_lane.ts";
export { Status, Word } from "../bus/lane.ts";
export type { QueueCounters, QueueFault, Virtqueue } from "../virtqueue/virtqueue.ts";
