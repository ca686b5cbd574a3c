/**
 * The drivers that come with the kernel, and the devices of a simulated machine.
 *
 * @module
 */

import balloon from "@virtio/balloon";
import { BalloonModel } from "@virtio/balloon/model";
import balloonManifest from "@virtio/balloon/plugin.json" with { type: "json" };
import blk from "@virtio/blk";
import { DiskModel } from "@virtio/blk/model";
import blkManifest from "@virtio/blk/plugin.json" with { type: "json" };
import consoleDriver from "@virtio/console";
import { ConsoleModel } from "@virtio/console/model";
import consoleManifest from "@virtio/console/plugin.json" with { type: "json" };
import nvme from "@virtio/nvme";
import nvmeManifest from "@virtio/nvme/plugin.json" with { type: "json" };
import random from "@virtio/random";
import { EntropyModel } from "@virtio/random/model";
import randomManifest from "@virtio/random/plugin.json" with { type: "json" };
import scsi from "@virtio/scsi";
import { ScsiModel } from "@virtio/scsi/model";
import scsiManifest from "@virtio/scsi/plugin.json" with { type: "json" };
import vtnet from "@virtio/vtnet";
import { NetModel } from "@virtio/vtnet/model";
import vtnetManifest from "@virtio/vtnet/plugin.json" with { type: "json" };
import type { PluginSource } from "./core/kernel/attachment.ts";
import { checkManifest } from "./core/plugin/manifest.ts";
import type { AnyPlugin } from "./core/plugin/pci_plugin.ts";
import type { DeviceModel } from "./simulation/model.ts";

/** The drivers. Applications may run them inline: they are as trusted as the kernel. */
export const DRIVERS: readonly PluginSource[] = [
  driver("@virtio/random", randomManifest, random),
  driver("@virtio/blk", blkManifest, blk),
  driver("@virtio/nvme", nvmeManifest, nvme),
  driver("@virtio/vtnet", vtnetManifest, vtnet),
  driver("@virtio/console", consoleManifest, consoleDriver),
  driver("@virtio/scsi", scsiManifest, scsi),
  driver("@virtio/balloon", balloonManifest, balloon),
];

function driver(name: string, manifest: unknown, plugin: AnyPlugin): PluginSource {
  return {
    manifest: checkManifest(manifest, import.meta.resolve(`${name}/plugin.json`)),
    entry: import.meta.resolve(name),
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
