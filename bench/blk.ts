/**
 * The block benchmark: reads of 4 KiB from QEMU's null-co device, through the whole of driver and kernel.
 *
 * @module
 */

import { BlockOperation } from "../classes/block/protocol.ts";
import type { BlockClient } from "../classes/block/client.ts";
import type { BlockSlots } from "../classes/block/slots.ts";
import { type Kernel, openKernel } from "../mod.ts";
import { median } from "./median.ts";

/** One figure. */
export interface BlockFigure {
  readonly device: string;
  readonly isolation: "process" | "inline";
  readonly depth: number;
  /** Whether each read is copied out of its slot. */
  readonly copy: boolean;
  /** Requests a second. Median of the rounds. */
  readonly iops: number;
}

const BYTES = 4096;
const ROUND_MS = 300;
const ROUNDS = 5;
const DEPTHS = [1, 32, 128];
const DISK = ["-blockdev", "driver=null-co,size=1073741824,read-zeroes=off,node-name=n0"];
const DEVICE = "virtio-blk-pci,drive=n0,disable-legacy=on,queue-size=1024";
/** Kinds of device. Without ioeventfd the doorbell's own handler serves the ring: what is left is the way to it. */
const DEVICES: Readonly<Record<string, readonly string[]>> = {
  "split ring": ["-device", `${DEVICE},ioeventfd=off`],
  "packed ring": ["-device", `${DEVICE},ioeventfd=off,packed=on`],
  "split ring, iothread": ["-object", "iothread,id=io", "-device", `${DEVICE},iothread=io`],
  "NVMe": ["-device", "nvme,drive=n0,serial=1"],
  "NVMe, ioeventfd": ["-device", "nvme,drive=n0,serial=1,ioeventfd=on"],
};

/** Measures all modes, both kinds of host in turn, since the machine's mood changes. */
export async function benchBlock(): Promise<BlockFigure[]> {
  const figures: BlockFigure[] = [];
  for (const [device, args] of Object.entries(DEVICES)) {
    figures.push(...await measure(device, args));
  }
  return figures;
}

async function measure(device: string, args: readonly string[]): Promise<BlockFigure[]> {
  const hosts: { isolation: BlockFigure["isolation"]; client: BlockClient }[] = [];
  await using stack = new AsyncDisposableStack();
  for (const isolation of ["inline", "process"] as const) {
    const qemu = { arguments: [...DISK, ...args] };
    const kernel: Kernel = stack.use(await openKernel({ machine: "qemu", isolation, qemu }));
    hosts.push({ isolation, client: (await kernel.attachFirst("block")).client });
  }
  const copies = device === "split ring" ? [false, true] : [false];
  const modes = DEPTHS.flatMap((depth) =>
    copies.flatMap((copy) =>
      hosts.map((host) => ({ ...host, depth, copy, rounds: [] as number[] }))
    )
  );
  for (let round = -1; round < ROUNDS; round++) {
    for (const { client, depth, copy, rounds } of modes) {
      const iops = run(client, depth, copy);
      if (round >= 0) rounds.push(iops);
    }
  }
  return modes.map(({ isolation, depth, copy, rounds }) => ({
    device,
    isolation,
    depth,
    copy,
    iops: median(rounds),
  }));
}

/** Keeps `depth` reads in flight for a while. Returns requests a second. */
function run({ slots, capacity }: BlockClient, depth: number, copy: boolean): number {
  using _polling = slots.busyPoll();
  const sectors = capacity / 512;
  const target = new Uint8Array(BYTES);
  const sector = { next: 0, ended: 0, wrong: 0 };
  const done = (slot: number, status: number, length: number) => {
    if (status !== 0 || length !== BYTES) sector.wrong++;
    if (copy) target.set(slots.data(slot).subarray(0, BYTES));
    sector.ended++;
    slots.release(slot);
  };
  const end = performance.now() + ROUND_MS;
  const begin = performance.now();
  do {
    fill(slots, depth, sectors, sector, done);
    slots.wait(1000);
  } while (performance.now() < end);
  const iops = sector.ended / ((performance.now() - begin) / 1000);
  while (slots.inFlight > 0) if (slots.wait(1000) === 0) throw new Error("A read did not end");
  if (sector.wrong > 0) throw new Error(`${sector.wrong} reads failed`);
  return iops;
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
