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
