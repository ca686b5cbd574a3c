/**
 * Disks.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkBlock, readBehind } from "./check.ts";
import { BlockClient } from "./client.ts";
import { blockProperties } from "./protocol.ts";

/** A disk. */
export const block: DeviceClass<BlockClient> = defineClass({
  lanes: ["requests"],
  optional: ["control"],
  properties: blockProperties,
  open: BlockClient.open,
  check: (disk, request) => checkBlock(disk, request, () => readBehind(disk)),
});

export {
  type BlockChange,
  BlockClient,
  type Geometry,
  type Lifetime,
  type Topology,
} from "./client.ts";
export type { JobRequest, JobResult } from "./jobs.ts";
export type { BlockSlots } from "./slots.ts";
export type { BlockZones, Zone, ZonedDisk, ZoneState } from "./zones.ts";
export { readWhole } from "./blocks.ts";
export {
  type BlockDevice,
  BlockOperation,
  type BlockProperties,
  type DiskSlots,
  SECTOR,
} from "./protocol.ts";
