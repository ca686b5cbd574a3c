/**
 * What an author of a device model needs, and nothing else.
 *
 * @module
 */
export * from "./model.ts";
export type { CapabilityOffsets, Lie } from "./lie.ts";
export { COMMON_FIELDS, type CommonField } from "./common_config.ts";
export { type Answer, ask, type AskOptions } from "./ask.ts";
export { lie, type LieId, LIES, lying } from "./hostile.ts";
export { type DeviceQueue, DriverFault } from "../virtqueue/device_queue.ts";
export type { Chain } from "../virtqueue/device_queue.ts";
export type { SplitDeviceOptions } from "../virtqueue/split_device.ts";
