/**
 * Reads of 4 KiB from disks without content, through the whole of driver and kernel.
 *
 * @module
 */

import type { BlockClient } from "../../classes/block/client.ts";
import { BlockOperation } from "../../classes/block/protocol.ts";
import type { BlockSlots } from "../../classes/block/slots.ts";
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
import type { Contender, Suite } from "../suite.ts";

const BYTES = 4096;
const ROUND_MS = 200;
const ISOLATIONS: readonly Isolation[] = ["inline", "process"];

/** How long a read may take, in milliseconds. */
const PATIENCE = 5000;
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

/** Thousand reads a second, with so many in flight. */
function reads({ slots, capacity }: BlockClient, depth: number): number {
  using _polling = slots.busyPoll();
  const sectors = capacity / 512;
  const sector = { next: 0, ended: 0, wrong: 0 };
  const done = (slot: number, status: number, length: number) => {
    if (status !== 0 || length !== BYTES) sector.wrong++;
    sector.ended++;
    slots.release(slot);
  };
  const begin = performance.now();
  const end = begin + ROUND_MS;
  do {
    fill(slots, depth, sectors, sector, done);
    slots.wait(PATIENCE);
  } while (performance.now() < end);
  const perMillisecond = sector.ended / (performance.now() - begin);
  while (slots.inFlight > 0) {
    if (slots.wait(PATIENCE) === 0) throw new Error("a read did not end");
  }
  if (sector.wrong > 0) throw new Error(`${sector.wrong} reads failed`);
  return perMillisecond;
}

function fill(
  slots: BlockSlots,
  depth: number,
  sectors: number,
  at: { next: number },
  done: (slot: number, status: number, length: number) => void,
): void {
  while (slots.inFlight < depth) {
    const slot = slots.take();
    if (slot < 0) break;
    slots.submit(slot, BlockOperation.read, at.next, BYTES, done);
    at.next = (at.next + BYTES / 512) % sectors;
  }
  slots.publish();
}

if (import.meta.main) {
  const [machine, isolation, socket] = Deno.args as [string, Isolation, string];
  await using stack = new AsyncDisposableStack();
  if (machine === "vhost-user") stack.use(await nullDisk(socket));
  const kernel = stack.use(await openPinned({ ...MACHINES[machine]!(socket), isolation }));
  const { client } = await attachPinned(kernel, "block");
  await contend((depth) => reads(client, depth));
}
