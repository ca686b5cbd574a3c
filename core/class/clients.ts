import type { DeviceClass } from "../plugin/manifest.ts";
import { balloonProperties, type MemoryStatistics } from "./balloon.ts";
import { BalloonClient } from "./balloon_client.ts";
import { blockProperties, SECTOR } from "./block.ts";
import { BlockClient } from "./block_client.ts";
import type { ClientLane } from "./client_lane.ts";
import { consoleProperties } from "./console.ts";
import { ConsoleClient } from "./console_client.ts";
import { EntropyClient } from "./entropy_client.ts";
import { laneOf, type Lanes } from "./lanes.ts";
import { netProperties } from "./net.ts";
import { NetClient } from "./net_client.ts";
import { scsiProperties } from "./scsi.ts";
import { ScsiClient } from "./scsi_client.ts";

/** What an application holds of a device, by its class. */
export interface Clients {
  /** A source of random bytes. */
  readonly entropy: EntropyClient;
  /** A disk. */
  readonly block: BlockClient;
  /** A network card. */
  readonly network: NetClient;
  /** Serial ports. */
  readonly console: ConsoleClient;
  /** Memory that the machine may take back. */
  readonly balloon: BalloonClient;
  /** A SCSI host adapter. */
  readonly scsi: ScsiClient;
}

/** What a driver tells about its device. */
type Given = Readonly<Record<string, unknown>>;

/** What clients need of the machine that the program runs on. */
export interface Sources {
  /** Figures of its memory; none if absent. */
  readonly memory?: () => MemoryStatistics;
}

/** A client and how it learns of changes. */
export interface ClientHandle<C extends DeviceClass = DeviceClass> {
  readonly client: Clients[C];
  /** Takes new properties over. */
  readonly update: (properties: Given) => void;
  /** Does what must be done before the device is given back in order; bounded in time. */
  readonly close?: () => Promise<void>;
}

type Maker<C extends DeviceClass> = (
  lanes: Lanes,
  given: Given,
  sources: Sources,
) => ClientHandle<C>;

const MAKERS: { readonly [C in DeviceClass]: Maker<C> } = {
  entropy(lanes) {
    const client = new EntropyClient(laneOf(lanes, "requests"));
    return { client, update() {}, close: () => client.close() };
  },

  block(lanes, given) {
    const client = new BlockClient(
      diskLane(lanes),
      blockProperties(given),
      lanes.get("control"),
    );
    return { client, update: (changed) => client.update(blockProperties(changed)) };
  },

  scsi(lanes, given) {
    const client = new ScsiClient({
      requests: laneOf(lanes, "requests"),
      control: laneOf(lanes, "control"),
      events: laneOf(lanes, "events"),
    }, scsiProperties(given));
    return { client, update: (changed) => client.update(scsiProperties(changed)) };
  },

  balloon(lanes, given, { memory }) {
    const all = {
      control: laneOf(lanes, "control"),
      events: laneOf(lanes, "events"),
      statistics: laneOf(lanes, "statistics"),
    };
    const client = new BalloonClient(all, balloonProperties(given), memory);
    return {
      client,
      update: (changed) => client.update(balloonProperties(changed)),
      close: () => client.close(),
    };
  },
  console: (lanes, given) => ({
    client: new ConsoleClient(lanes, consoleProperties(given)),
    update() {},
  }),
  network(lanes, given) {
    const names = ["receive", "transmit", "control", "events"] as const;
    const [receive, transmit, control, events] = names.map((name) => laneOf(lanes, name));
    const all = { receive: receive!, transmit: transmit!, control: control!, events: events! };
    const client = new NetClient(all, netProperties(given));
    // A device that was started anew tells what has changed by an event.
    return { client, update: (changed) => void netProperties(changed) };
  },
};

/** The lane of a disk, whose slots hold whole sectors. */
function diskLane(lanes: Lanes): ClientLane {
  const requests = laneOf(lanes, "requests");
  if (requests.slotBytes % SECTOR === 0) return requests;
  throw new TypeError(
    `The slots of a block driver's lane requests must hold whole sectors of ${SECTOR} bytes, ` +
      `not ${requests.slotBytes} bytes`,
  );
}

/**
 * Makes the client of a device.
 *
 * @param lanes The device's lanes by name.
 * @param given What its driver tells about it.
 * @param sources What there is of the machine that the program runs on.
 * @throws TypeError If lanes or properties are not those of the class.
 */
export function makeClient(
  deviceClass: DeviceClass,
  lanes: Lanes,
  given: Given,
  sources: Sources = {},
): ClientHandle {
  return MAKERS[deviceClass](lanes, given, sources);
}
