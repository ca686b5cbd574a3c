/**
 * The block benchmark: reads of 4 KiB from QEMU's null-co device, through the whole of driver and kernel.
 *
 * @module
 */

import { BlockOperation } from "../core/class/block.ts";
import type { BlockClient } from "../core/class/block_client.ts";
import type { BlockSlots } from "../core/class/block_slots.ts";
import { type Kernel, openKernel } from "../mod.ts";
import { median } from "./median.ts";

/** One figure. */
export interface BlockFigure {
  readonly isolation: "process" | "inline";
  readonly depth: number;
  /** Whether each read is copied out of its slot. */
  readonly copy: boolean;
  /** Requests a second. Median of the rounds. */
  readonly iops: number;
}

const BYTES = 4096;
const ROUND_MS = 400;
const ROUNDS = 5;
const DEPTHS = [1, 32, 128];
const DEVICE = [
  ...["-blockdev", "driver=null-co,size=1073741824,read-zeroes=off,node-name=n0"],
  // The doorbell's own handler serves the ring, so that what is measured is the path to it.
  ...["-device", "virtio-blk-pci,drive=n0,disable-legacy=on,queue-size=1024,ioeventfd=off"],
];

/** Measures all modes, both kinds of host in turn, since the machine's mood changes. */
export async function benchBlock(): Promise<BlockFigure[]> {
  const hosts: { isolation: BlockFigure["isolation"]; client: BlockClient }[] = [];
  await using stack = new AsyncDisposableStack();
  for (const isolation of ["inline", "process"] as const) {
    const kernel: Kernel = stack.use(
      await openKernel({ machine: "qemu", isolation, qemu: { arguments: DEVICE } }),
    );
    hosts.push({ isolation, client: (await kernel.attachFirst("block")).client });
  }
  const modes = DEPTHS.flatMap((depth) =>
    [false, true].flatMap((copy) =>
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
    isolation,
    depth,
    copy,
    iops: median(rounds),
  }));
}

/** Keeps `depth` reads in flight for a while. Returns requests a second. */
function run({ slots, capacity }: BlockClient, depth: number, copy: boolean): number {
  using _attention = slots.attend();
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

if (import.meta.main) {
  for (const { isolation, depth, copy, iops } of await benchBlock()) {
    console.log(
      isolation.padEnd(8),
      String(depth).padStart(4),
      copy ? "copy" : "    ",
      Math.round(iops),
    );
  }
}
