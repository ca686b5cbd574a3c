/**
 * Network cards.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkNetwork } from "./check.ts";
import { NetClient } from "./client.ts";
import { netProperties } from "./protocol.ts";

/** A network card. */
export const network: DeviceClass<NetClient> = defineClass({
  lanes: ["receive", "transmit", "control", "events"],
  optional: ["long"],
  properties: netProperties,
  open: NetClient.open,
  check: checkNetwork,
});

export { NetBurst } from "./burst.ts";
export type { NetChange, NetClient, NetOffloads } from "./client.ts";
export type { Coalescing, NetCoalescing } from "./coalescing.ts";
export type { NetFilter, ReceiveMode } from "./filter.ts";
export type { HashSupport, NetSteering, RssOptions } from "./steering.ts";
export type { Frame, Segmentation, SegmentationType } from "./frame.ts";
export { internetChecksum } from "./internet_checksum.ts";
export {
  formatMac,
  FRAME_HEADER,
  type NetProperties,
  parseMac,
  RECEIVE_OFFLOADS,
  type ReceiveOffload,
  TRANSMIT_OFFLOADS,
  type TransmitOffloadName,
} from "./protocol.ts";
export type { NetReceiver, Received } from "./receiver.ts";
export type { NetSlots, TransmitOffload } from "./slots.ts";
