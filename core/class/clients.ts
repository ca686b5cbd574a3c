import type { DeviceClass } from "../plugin/manifest.ts";
import { blockProperties, SECTOR } from "./block.ts";
import { BlockClient } from "./block_client.ts";
import type { ClientLane } from "./client_lane.ts";
import { EntropyClient } from "./entropy_client.ts";

/** What an application holds of a device, by its class. */
export interface Clients {
  /** A source of random bytes. */
  readonly entropy: EntropyClient;
  /** A disk. */
  readonly block: BlockClient;
}

/** A client and how it learns of changes. */
export interface ClientHandle {
  readonly client: Clients[DeviceClass];
  /** Takes new properties over. */
  readonly update: (properties: Readonly<Record<string, unknown>>) => void;
}

/**
 * Makes the client of a device.
 *
 * @param lanes The device's lanes by name.
 * @throws TypeError If lanes or properties are not those of the class.
 */
export function makeClient(
  deviceClass: DeviceClass,
  lanes: ReadonlyMap<string, ClientLane>,
  properties: Readonly<Record<string, unknown>>,
): ClientHandle {
  const requests = lanes.get("requests");
  if (!requests) {
    throw new TypeError(`A driver of class ${deviceClass} needs a lane named requests`);
  }
  switch (deviceClass) {
    case "entropy":
      return { client: new EntropyClient(requests), update() {} };
    case "block": {
      if (requests.slotBytes % SECTOR !== 0) {
        throw new TypeError(
          `The slots of a block driver's lane requests must hold whole sectors of ${SECTOR} bytes, ` +
            `not ${requests.slotBytes} bytes`,
        );
      }
      const client = new BlockClient(requests, blockProperties(properties));
      return { client, update: (changed) => client.update(blockProperties(changed)) };
    }
  }
}
