/**
 * Disks.
 *
 * @module
 */

import { type ClientLane, defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkBlock, readBehind } from "./check.ts";
import { BlockClient } from "./client.ts";
import { blockProperties, SECTOR } from "./protocol.ts";

/** A disk. */
export const block: DeviceClass<BlockClient> = defineClass({
  lanes: ["requests"],
  optional: ["control"],
  open({ requests, control }, told) {
    const client = new BlockClient(wholeSectors(requests), blockProperties(told), control);
    return { client, update: (changed) => client.update(blockProperties(changed)) };
  },
  check: (disk, request) => checkBlock(disk, request, () => readBehind(disk)),
});

function wholeSectors(requests: ClientLane): ClientLane {
  if (requests.slotBytes % SECTOR === 0) return requests;
  throw new TypeError(
    `The slots of a block driver's lane requests must hold whole sectors of ${SECTOR} bytes, ` +
      `not ${requests.slotBytes} bytes`,
  );
}
