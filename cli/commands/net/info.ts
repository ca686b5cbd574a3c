import {
  formatMac,
  type NetClient,
  RECEIVE_OFFLOADS,
  TRANSMIT_OFFLOADS,
} from "../../../classes/network/mod.ts";
import { RequestError } from "../../../core/class/mod.ts";
import type { DeviceDescription } from "../../../mod.ts";
import type { Command } from "../../command.ts";
import { EXIT } from "../../exit.ts";
import { printFacts } from "../../facts.ts";
import { printDeviceJson } from "../../json.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";

/** Shows a network card. */
export const netInfo: Command = {
  name: "net info",
  summary: "Show a network card: address, link, MTU, queues, offloads, counters",
  usage: "",
  words: [0, 0],
  options: [DEVICE_OPTION],
  examples: [
    ["net info --machine simulated", "the card of a machine made of device models"],
    [
      "net info --machine qemu -- -nic user,model=virtio-net-pci",
      "one of QEMU's, behind its user network",
    ],
    ["net info --tune vtnet.lro_disable=false", "with frames that the device puts together"],
  ],
  notes: ["The card is put to work for a moment. No frame is sent."],
  async run(context) {
    await using used = await useDevice(context, "network");
    const { client } = used.device;
    const counted = await context.until(countedByDevice(client));
    const view = await context.until(used.device.describe());
    if (context.options.json) {
      printDeviceJson(context, "net info", used, json(client, view, counted));
    } else {
      printFacts(context, facts(client, view, counted));
    }
    return EXIT.done;
  },
};

type Counts = Readonly<Record<string, number>>;

/** What the device counts by itself; few do. */
async function countedByDevice(client: NetClient): Promise<Counts> {
  try {
    return await client.deviceStatistics();
  } catch (error) {
    if (error instanceof RequestError) return {};
    throw error;
  }
}

function facts(
  client: NetClient,
  view: DeviceDescription,
  counted: Counts,
): [name: string, fact: string][] {
  const { offloads, speed, duplex } = client;
  const { queuePairs, hashes } = client.steering;
  const on = <N extends string>(names: readonly N[], of: Readonly<Record<N, boolean>>) =>
    names.filter((name) => of[name]).join(", ") || "none";
  return [
    ["address", view.address],
    ["mac", formatMac(client.mac)],
    ["link", client.linkUp ? "up" : "down"],
    ["speed", speed === undefined ? "unknown" : `${speed} Mbit/s, ${duplex ?? "unknown"} duplex`],
    ["mtu", `${client.mtu}`],
    ["queue pairs", `${queuePairs}, of which one is used at first`],
    ["sends", `offloads: ${on(TRANSMIT_OFFLOADS, offloads.transmit)}`],
    ["receives", `offloads: ${on(RECEIVE_OFFLOADS, offloads.receive)}`],
    [
      "hashes",
      hashes.types === 0
        ? "none"
        : `types 0x${hashes.types.toString(16)}, key of ${hashes.keyBytes} bytes, ` +
          `table of ${hashes.entries}${hashes.reports ? ", reported with frames" : ""}`,
    ],
    ...counters("counter", view.statistics),
    ...counters("device counts", counted),
  ];
}

/** Counters that have counted something: there are many. */
function counters(title: string, counts: Counts): [name: string, fact: string][] {
  return Object.entries(counts).filter(([, value]) => value > 0)
    .map(([name, value]) => [title, `${name} ${value}`]);
}

function json(client: NetClient, view: DeviceDescription, counted: Counts): object {
  const { linkUp, mtu, speed, duplex, offloads } = client;
  const { queuePairs, hashes } = client.steering;
  return {
    mac: formatMac(client.mac),
    linkUp,
    mtu,
    speedMegabitsPerSecond: speed ?? null,
    duplex: duplex ?? null,
    queuePairs,
    offloads,
    hashes,
    features: view.features,
    statistics: view.statistics,
    deviceStatistics: counted,
  };
}
