import type { BalloonClient } from "../../../classes/balloon/mod.ts";
import type { Device, DeviceDescription } from "../../../mod.ts";
import type { Command } from "../../command.ts";
import { EXIT } from "../../exit.ts";
import { printFacts } from "../../facts.ts";
import { printDeviceJson } from "../../json.ts";
import { DEVICE_OPTION, useDevice } from "../../kernel.ts";
import { where } from "../show.ts";

/** Shows a balloon. */
export const balloonInfo: Command = {
  name: "balloon info",
  summary: "Show a memory balloon: what its hypervisor wants, what it gets, what it is told",
  usage: "",
  words: [0, 0],
  options: [DEVICE_OPTION],
  examples: [
    ["balloon info --machine simulated", "the balloon of a machine made of device models"],
    ["balloon info --machine qemu -- -device virtio-balloon-pci", "one of QEMU's"],
  ],
  notes: [
    "The balloon is put to work for a moment, follows its hypervisor, and is emptied again at the end.",
    "A program can give only memory that is its own: pages of the driver's arena, never those of other",
    "programs. A quarter of the arena stays, whatever the hypervisor wants.",
  ],
  async run(context) {
    await using used = await useDevice(context, "balloon");
    const { client } = used.device;
    await context.until(client.settled(context.signal));
    const view = await context.until(used.device.describe());
    if (context.options.json) {
      printDeviceJson(context, "balloon info", used, json(client, view));
      return EXIT.done;
    }
    printFacts(context, facts(used.device, view));
    return EXIT.done;
  },
};

function facts(
  device: Device<"balloon">,
  view: DeviceDescription,
): [name: string, fact: string][] {
  const { client } = device;
  const { requested, target, actual } = client.state;
  const size = (pages: number) => `${pages} pages (${mebibytes(pages * client.pageBytes)} MiB)`;
  return [
    ["address", view.address],
    ["driver", `${view.driver} (${where(device)})`],
    ["arena", `${size(client.pages)} of this program's own memory: no more can be given`],
    ["stays", size(client.floor)],
    ["hypervisor wants", size(requested)],
    ["target", size(target)],
    ["in balloon", size(actual)],
    [
      "low memory",
      client.deflateOnOom
        ? "pages may be taken back before the hypervisor allows it (DEFLATE_ON_OOM)"
        : "pages come back only when the hypervisor allows it",
    ],
    ["hints", client.hinting ? "given when the hypervisor asks (FREE_PAGE_HINT)" : "not asked for"],
    ["reports", client.reporting ? "free pages are reported (PAGE_REPORTING)" : "not asked for"],
    ...Object.entries(view.statistics).map(([name, value]): [string, string] => [
      "counter",
      `${name} ${value}`,
    ]),
    ...Object.entries(client.statistics).map(([name, value]): [string, string] => [
      "hypervisor is told",
      `${name} ${value}`,
    ]),
  ];
}

function json(client: BalloonClient, view: DeviceDescription): object {
  const { pages, pageBytes, floor, deflateOnOom, hinting, reporting, state, statistics } = client;
  return {
    pages,
    pageBytes,
    floor,
    ...state,
    deflateOnOom,
    hinting,
    reporting,
    counters: view.statistics,
    statistics,
  };
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
