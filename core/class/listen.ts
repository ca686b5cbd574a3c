// What a driver tells by standing requests of a lane, one after the other.

import type { ClientLane } from "../bus/client_lane.ts";
import { Status } from "../bus/lane.ts";
import { BusFault } from "../bus/mailbox.ts";

/**
 * Gives all slots of a lane to the driver, as requests that stand until something happens. They stand again at once, and
 * with a driver that was started anew.
 *
 * @param hear Called for each event, with its slot and how many bytes of data it has: what it needs of record and data it
 *   takes at once, since the slot goes back to the driver when it returns.
 */
export function listen(lane: ClientLane, hear: (slot: number, length: number) => void): void {
  const ended = (slot: number, status: number, length: number): void => {
    if (status === Status.gone) return lane.release(slot);
    try {
      if (status !== Status.ok) {
        throw new BusFault(`The driver ended a request for events with status ${status}`);
      }
      hear(slot, length);
    } finally {
      lane.submit(slot, ended);
      lane.publish();
    }
  };
  for (let slot = lane.take(); slot >= 0; slot = lane.take()) lane.submit(slot, ended);
  lane.publish();
}
