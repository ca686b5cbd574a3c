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
  properties: netProperties,
  open: NetClient.open,
  check: checkNetwork,
});
