import type { ClientLane } from "./client_lane.ts";

/** The lanes of a device, by their names in the driver's plan. */
export type Lanes = ReadonlyMap<string, ClientLane>;

/**
 * The lane of that name.
 *
 * @throws TypeError If the driver planned none.
 */
export function laneOf(lanes: Lanes, name: string): ClientLane {
  const lane = lanes.get(name);
  if (lane) return lane;
  throw new TypeError(
    `The driver's plan has no lane named ${name}, which its class needs; it has ` +
      ([...lanes.keys()].join(", ") || "none"),
  );
}
