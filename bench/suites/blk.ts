/**
 * Reads of 4 KiB from disks without content, through the whole of driver and kernel.
 *
 * @module
 */

import type { Isolation, OpenOptions } from "../../mod.ts";
import { NvmeModel } from "../../plugins/nvme/model.ts";
import { DiskModel } from "../../plugins/blk/model.ts";
import { unpackedRoot } from "../../tools/unpacked.ts";
import { compile } from "../compile.ts";
import { contend } from "../contend.ts";
import {
  applicationOf,
  deno,
  DRIVER,
  NULL_DISK,
  nullDisk,
  pinned,
  withNullDisk,
} from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import { slotReads } from "../slot_reads.ts";
import type { Contender, Suite } from "../suite.ts";

const ROUND_MS = 200;
const ISOLATIONS: readonly Isolation[] = ["inline", "process"];

const CAPACITY = 64 * 2 ** 20;
const VIRTIO = "virtio-blk-pci,drive=n0,disable-legacy=on,queue-size=1024";

/** A disk of QEMU's. */
function onQemu(...device: readonly string[]): OpenOptions {
  return { machine: "qemu", qemu: { arguments: ["-blockdev", NULL_DISK, ...device] } };
}

/**
 * Machines with one disk each. Where QEMU has no ioeventfd, the doorbell's own handler serves the ring: what is left is the
 * way to it.
 */
export const MACHINES: Readonly<Record<string, (socket: string) => OpenOptions>> = {
  "vhost-user": (socket) => ({
    machine: "vhost-user",
    vhostUser: [{ kind: "blk", socket, queueSize: 1024 }],
  }),
  "QEMU, split ring": () => onQemu("-device", `${VIRTIO},ioeventfd=off`),
  "QEMU, packed ring": () => onQemu("-device", `${VIRTIO},ioeventfd=off,packed=on`),
  "QEMU, split ring, iothread": () =>
    onQemu("-object", "iothread,id=io", "-device", `${VIRTIO},iothread=io`),
  "QEMU, NVMe": () => onQemu("-device", "nvme,drive=n0,serial=1"),
  "simulated, split ring": () => ({
    machine: "simulated",
    devices: [new DiskModel({ capacity: CAPACITY })],
  }),
  "simulated, NVMe": () => ({
    machine: "simulated",
    devices: [new NvmeModel({ namespaces: { 1: { capacity: CAPACITY } } })],
  }),
};

/** Disks of every kind of machine; that of vhost-user beside libblkio. */
export const blk: Suite = {
  name: "blk",
  what: "reads of 4 KiB of a disk without content, inline and by process, beside libblkio",
  async *subjects(folder, missing) {
    const peers = await libblkio(folder, missing);
    for (const machine of Object.keys(MACHINES)) {
      const isVhost = machine === "vhost-user";
      yield {
        subject: machine,
        axis: "depth",
        points: [1, 4, 32, 128],
        unit: "thousand reads a second",
        better: "more",
        ...isVhost && peers.length > 0 ? { yardstick: peers[0]!.name } : {},
        contenders: [
          ...isVhost ? peers : [],
          ...ISOLATIONS.map((isolation) => ({
            name: isolation,
            command: pinned(
              applicationOf(isolation),
              deno([import.meta.filename!, machine, isolation, `${folder}/${isolation}.sock`]),
            ),
          })),
        ],
      };
    }
  },
};

/** libblkio on a disk of the same kind, as two contenders. */
async function libblkio(folder: string, missing: (why: string) => void): Promise<Contender[]> {
  const root = unpackedRoot("nbdkit");
  if (root === undefined) {
    missing("no libblkio: deno task prepare fetches it");
    return [];
  }
  const libraries = `${root}/usr/lib/x86_64-linux-gnu`;
  const program = await compile("blkio.c", folder, missing, [
    ...[`-I${root}/usr/include`, `-L${libraries}`, "-lblkio", "-Wl,--allow-shlib-undefined"],
  ]);
  if (program === undefined) return [];
  const loader = [`${root}/usr/lib64/ld-linux-x86-64.so.2`, "--library-path", libraries];
  return ["polling", "events"].map((way) => {
    const socket = `${folder}/${way}.sock`;
    const command = pinned(DRIVER, [...loader, program, socket, way]);
    return { name: `libblkio, ${way}`, command: withNullDisk(socket, command) };
  });
}

if (import.meta.main) {
  const [machine, isolation, socket] = Deno.args as [string, Isolation, string];
  await using stack = new AsyncDisposableStack();
  if (machine === "vhost-user") stack.use(await nullDisk(socket));
  const kernel = stack.use(await openPinned({ ...MACHINES[machine]!(socket), isolation }));
  const { client } = await attachPinned(kernel, "block");
  await contend((depth) => slotReads(client, ROUND_MS, depth));
}
