/**
 * Reads of 4 KiB, of a SCSI disk and of a virtio-blk one that are the same to an application.
 *
 * @module
 */

import type { Isolation } from "../../mod.ts";
import { concurrently } from "../concurrently.ts";
import { contend } from "../contend.ts";
import { applicationOf, deno, NULL_DISK, pinned } from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import { slotReads } from "../slot_reads.ts";
import type { Suite } from "../suite.ts";

const BYTES = 4096;
const ROUND_MS = 200;

const DEVICES = {
  blk: ["-device", "virtio-blk-pci,drive=n0"],
  scsi: ["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-hd,bus=scsi.0,drive=n0"],
};
type Kind = keyof typeof DEVICES;
const WAYS = { promise: [1, 4, 32], slots: [1, 32, 128] };
type Way = keyof typeof WAYS;

/** Both kinds of disks, and both places of their drivers. */
export const scsi: Suite = {
  name: "scsi",
  what:
    "reads of 4 KiB of QEMU's SCSI disk, by promise and by slots, beside those of its virtio-blk disk",
  async *subjects() {
    for (const [way, points] of Object.entries(WAYS)) {
      yield {
        subject: `QEMU, by ${way}`,
        axis: "depth",
        points,
        unit: "thousand reads a second",
        better: "more",
        contenders: Object.keys(DEVICES).flatMap((kind) =>
          (["inline", "process"] as const).map((isolation) => ({
            name: `${kind}, ${isolation}`,
            command: pinned(
              applicationOf(isolation),
              deno([import.meta.filename!, kind, isolation, way]),
            ),
          }))
        ),
      };
    }
  },
};

if (import.meta.main) {
  const [kind, isolation, way] = Deno.args as [Kind, Isolation, Way];
  const qemu = { arguments: ["-blockdev", NULL_DISK, ...DEVICES[kind]] };
  await using kernel = await openPinned({ machine: "qemu", isolation, qemu });
  const disk = kind === "blk"
    ? (await attachPinned(kernel, "block")).client
    : await (await attachPinned(kernel, "scsi")).client.disk({ target: 0, lun: 0 });
  const blocks = disk.capacity / BYTES;
  await contend((depth) =>
    way === "slots"
      ? slotReads(disk, ROUND_MS, depth)
      : concurrently(depth, ROUND_MS, (turn) => disk.read(turn % blocks * BYTES, BYTES))
  );
}
