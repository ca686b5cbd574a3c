/**
 * Serial ports.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkConsole } from "./check.ts";
import { ConsoleClient } from "./client.ts";
import { consoleProperties } from "./protocol.ts";

/** Serial ports. */
export const console: DeviceClass<ConsoleClient> = defineClass({
  lanes: ["receive", "transmit", "control", "events"],
  properties: consoleProperties,
  open: ConsoleClient.open,
  check: checkConsole,
});

export type { ConsoleClient, PortChange } from "./client.ts";
export type { ConsolePort, ConsoleSize } from "./port.ts";
