/**
 * Memory that the machine may take back.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkBalloon } from "./check.ts";
import { BalloonClient } from "./client.ts";
import { balloonProperties, type MemoryStatistics } from "./protocol.ts";

/**
 * Memory that the machine may take back.
 *
 * @param memory Figures of the memory of the machine that the program runs on, for the device that asks for them; none if
 *   left out.
 */
export function balloon(memory?: () => MemoryStatistics): DeviceClass<BalloonClient> {
  return defineClass({
    lanes: ["control", "events", "statistics"],
    properties: balloonProperties,
    open: (lanes, properties) => BalloonClient.open(lanes, properties, memory),
    check: checkBalloon,
  });
}

export type { BalloonClient, BalloonState } from "./client.ts";
export type { BalloonProperties, MemoryStatistic, MemoryStatistics } from "./protocol.ts";
