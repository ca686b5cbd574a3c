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
