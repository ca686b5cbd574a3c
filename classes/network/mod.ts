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
  open(lanes, told) {
    const client = new NetClient(lanes, netProperties(told));
    // A device that was started anew tells what has changed by an event.
    return { client, update: (changed) => void netProperties(changed) };
  },
  check: checkNetwork,
});
