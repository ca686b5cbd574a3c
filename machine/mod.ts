/**
 * What the program of a user needs to know and to do about a machine before devices are driven: names of PCI functions,
 * what their configuration spaces say, what is missing for drivers in user space, and which functions are handed to them.
 *
 * @module
 */

export { diagnose, type Diagnosis } from "./doctor.ts";
export { walls } from "./walls.ts";
export {
  type Binding,
  type BindRequest,
  HANDING_DRIVERS,
  type HandingDriver,
  rebind,
} from "./bind.ts";
export type { Mounts } from "./mounts.ts";
export {
  formatAddress,
  formatShortAddress,
  parseAddress,
  type PciAddress,
} from "../core/pci/address.ts";
export { type InterruptKind, INTERRUPTS } from "../core/binding/interrupt_kind.ts";
export { capabilities, type Capability } from "../core/pci/capabilities.ts";
export { formatMatch, type Match, type MatchField } from "../core/pci/match.ts";
export type { PciNames } from "./names.ts";
export { pciNames } from "./pci_names.ts";
export { type Tunable, tunableValues } from "../core/plugin/tunables.ts";
export { findStructures, type Structure, type Structures } from "../core/virtio/capabilities.ts";
export { type SharedMemoryRegion, sharedMemoryRegions } from "../core/virtio/shared_memory.ts";
export { vendorCapabilities, type VendorCapability } from "../core/virtio/vendor_capabilities.ts";
export { virtioTypeName } from "./virtio_types.ts";
