/**
 * A program that keeps the disk of a QEMU busy until it is killed. Prints the processes that it started.
 *
 * @module
 */

import type { QemuPlatform } from "../../core/platform/qemu/mod.ts";
import { openKernel } from "../../mod.ts";

if (import.meta.main) {
  const disk = "driver=null-co,size=16777216,node-name=disk";
  await using kernel = await openKernel({
    machine: "qemu",
    qemu: {
      arguments: [
        ...["-device", "virtio-rng-pci"],
        ...["-blockdev", disk, "-device", "virtio-blk-pci,drive=disk"],
      ],
    },
  });
  const random = await kernel.attachFirst("entropy");
  const blk = await kernel.attachFirst("block");
  const bytes = await random.client.read(65536);
  console.log(JSON.stringify([(kernel.machine as QemuPlatform).pid, random.pid, blk.pid]));
  for (;;) {
    await Promise.all(Array.from({ length: 64 }, (_, i) => blk.client.write(i * 65536, bytes)));
  }
}
