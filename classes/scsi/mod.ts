/**
 * SCSI adapters.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkScsi } from "./check.ts";
import { ScsiClient } from "./client.ts";
import { scsiProperties } from "./protocol.ts";

/** A SCSI adapter. */
export const scsi: DeviceClass<ScsiClient> = defineClass({
  lanes: ["requests", "control", "events"],
  properties: scsiProperties,
  open: ScsiClient.open,
  check: checkScsi,
});

export { formatScsiAddress, parseScsiAddress, type ScsiAddress } from "./address.ts";
export type { ScsiAnswer, ScsiOutcome } from "./answer.ts";
export { asciiText } from "./big_endian.ts";
export type { ScsiCapacity } from "./capacity.ts";
export type { ScsiClient, TaskFunction } from "./client.ts";
export type { CommandOptions } from "./commands.ts";
export { ScsiDisk } from "./disk.ts";
export { ScsiError } from "./error.ts";
export type { ScsiChange } from "./event.ts";
export type { ScsiInquiry } from "./inquiry.ts";
export { ScsiControl, type ScsiProperties, ScsiResponse } from "./protocol.ts";
export type { ScsiUnit } from "./scan.ts";
export { type ScsiSense, senseText } from "./sense.ts";
export { ScsiStatus, scsiStatusText } from "./status.ts";
export {
  type BlockLimits,
  parseIdentifiers,
  parseLimits,
  parseProvisioning,
  parseRotation,
  type Provisioning,
  type ScsiIdentifier,
  VPD_NAMES,
  VpdPage,
} from "./vpd.ts";
