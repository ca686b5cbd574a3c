/**
 * What an author of a device model needs, and nothing else.
 *
 * @module
 */
export * from "./model.ts";
export type {
  BarModel,
  CapabilityModel,
  FunctionHandle,
  FunctionModel,
  MsixModel,
} from "./function_model.ts";
export type { BusMemory, Place } from "./device_memory.ts";
export type { Width } from "../core/pci/registers.ts";
export type { CapabilityOffsets, Lie, LieHandle } from "./lie.ts";
export type { Ring } from "./ring.ts";
export { COMMON_FIELDS, type CommonField } from "./common_config.ts";
export { type Answer, ask, type AskOptions } from "./ask.ts";
export { SparseMemory } from "./sparse_memory.ts";
export {
  during,
  goneAfter,
  lie,
  type LieId,
  LIES,
  lying,
  needsResetAt,
  neverAnswers,
  used,
} from "./hostile.ts";
export { type DeviceQueue, DriverFault } from "../core/virtqueue/device_queue.ts";
export type { Chain } from "../core/virtqueue/device_queue.ts";
export type { DeviceRingOptions, RingPlace } from "../core/virtqueue/device_queue.ts";
export type { QueueKind } from "../core/virtqueue/layout.ts";
