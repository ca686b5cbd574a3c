/**
 * The drivers that come with the kernel, and the devices of a simulated machine.
 *
 * @module
 */

import blk from "@virtio/blk";
import { DiskModel } from "@virtio/blk/model";
import blkManifest from "@virtio/blk/plugin.json" with { type: "json" };
import random from "@virtio/random";
import { EntropyModel } from "@virtio/random/model";
import randomManifest from "@virtio/random/plugin.json" with { type: "json" };
import scsi from "@virtio/scsi";
import { ScsiHostModel } from "@virtio/scsi/model";
import scsiManifest from "@virtio/scsi/plugin.json" with { type: "json" };
import type { PluginSource } from "./core/kernel/attach.ts";
import { checkManifest } from "./core/plugin/manifest.ts";
import type { DeviceModel } from "./core/simulation/model.ts";

/** The drivers. Applications may run them inline: they are as trusted as the kernel. */
export const DRIVERS: readonly PluginSource[] = [
  {
    manifest: checkManifest(randomManifest, import.meta.resolve("@virtio/random/plugin.json")),
    entry: import.meta.resolve("@virtio/random"),
    plugin: random,
  },
  {
    manifest: checkManifest(blkManifest, import.meta.resolve("@virtio/blk/plugin.json")),
    entry: import.meta.resolve("@virtio/blk"),
    plugin: blk,
  },
  {
    manifest: checkManifest(scsiManifest, import.meta.resolve("@virtio/scsi/plugin.json")),
    entry: import.meta.resolve("@virtio/scsi"),
    plugin: scsi,
  },
];

const MIB = 2 ** 20;

/** One device for each driver. */
export function simulatedDevices(): readonly DeviceModel[] {
  return [
    new EntropyModel(),
    new DiskModel({ capacity: 64 * MIB, serial: "SIMULATED-0001" }),
    new ScsiHostModel({
      units: [
        { capacity: 64 * MIB, serial: "SIMULATED-0002", protection: true },
        { target: 1, type: "cdrom", capacity: 8 * MIB },
      ],
    }),
  ];
}
