/**
 * The drivers that come with the kernel, and the devices of a simulated machine.
 *
 * @module
 */

import balloon from "./plugins/balloon/mod.ts";
import { BalloonModel } from "./plugins/balloon/model.ts";
import balloonManifest from "./plugins/balloon/plugin.json" with { type: "json" };
import blk from "./plugins/blk/mod.ts";
import { DiskModel } from "./plugins/blk/model.ts";
import blkManifest from "./plugins/blk/plugin.json" with { type: "json" };
import consoleDriver from "./plugins/console/mod.ts";
import { ConsoleModel } from "./plugins/console/model.ts";
import consoleManifest from "./plugins/console/plugin.json" with { type: "json" };
import nvme from "./plugins/nvme/mod.ts";
import nvmeManifest from "./plugins/nvme/plugin.json" with { type: "json" };
import random from "./plugins/random/mod.ts";
import { EntropyModel } from "./plugins/random/model.ts";
import randomManifest from "./plugins/random/plugin.json" with { type: "json" };
import scsi from "./plugins/scsi/mod.ts";
import { ScsiModel } from "./plugins/scsi/model.ts";
import scsiManifest from "./plugins/scsi/plugin.json" with { type: "json" };
import vtnet from "./plugins/vtnet/mod.ts";
import { NetModel } from "./plugins/vtnet/model.ts";
import vtnetManifest from "./plugins/vtnet/plugin.json" with { type: "json" };
import type { PluginSource } from "./core/kernel/plugin_source.ts";
import { checkManifest } from "./core/plugin/check_manifest.ts";
import type { AnyPlugin } from "./core/plugin/pci_plugin.ts";
import type { DeviceModel } from "./simulation/model.ts";

/** The drivers. Applications may run them inline: they are as trusted as the kernel. */
export const DRIVERS: readonly PluginSource[] = [
  driver("random", randomManifest, random),
  driver("blk", blkManifest, blk),
  driver("nvme", nvmeManifest, nvme),
  driver("vtnet", vtnetManifest, vtnet),
  driver("console", consoleManifest, consoleDriver),
  driver("scsi", scsiManifest, scsi),
  driver("balloon", balloonManifest, balloon),
];

function driver(name: string, manifest: unknown, plugin: AnyPlugin): PluginSource {
  return {
    manifest: checkManifest(manifest, `plugins/${name}/plugin.json`),
    entry: new URL(`plugins/${name}/mod.ts`, import.meta.url).href,
    plugin,
  };
}

const MIB = 2 ** 20;

/** One device for each driver. */
export function simulatedDevices(): readonly DeviceModel[] {
  return [
    new EntropyModel(),
    new DiskModel({ capacity: 64 * MIB, serial: "SIMULATED-0001" }),
    new ScsiModel({
      units: [
        { capacity: 64 * MIB, serial: "SIMULATED-0002", protection: true },
        { target: 1, type: "cdrom", capacity: 8 * MIB },
      ],
    }),
    new BalloonModel({ pages: 4096 }),
    new ConsoleModel({
      ports: { 0: { console: true }, 1: { name: "org.virtio.echo", echo: true } },
      size: [80, 25],
    }),
    new NetModel().meet(),
  ];
}
