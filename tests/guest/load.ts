/**
 * No wake-up is lost in 100 000 requests by each kind of interrupt: neither side looks without being told, so that a
 * request whose wake-up is lost would not end.
 *
 * @module
 */

import { type BlockClient, BlockOperation } from "../../classes/block/mod.ts";
import { assertEquals } from "@std/assert";
import { type InterruptKind, openKernel } from "../../mod.ts";
import { attachDisk } from "./support/disk.ts";
import { check } from "./support/job.ts";

const REQUESTS = 100_000;
/** Requests in flight, in turn: the fewer there are, the more often all sides sleep. */
const DEPTHS = [128, 16, 1];
const BYTES = 512;
/** Milliseconds: longer than any test, as long as a timer can be. */
const NEVER = 2 ** 31 - 1;
/** Milliseconds that one request may take. */
const LONG = 30_000;

const KINDS: readonly (readonly [disk: string, interrupts: InterruptKind])[] = [
  ["blk", "msix"],
  ["blk", "shared"],
  ["blk intx", "intx"],
];

for (const [name, interrupts] of KINDS) {
  await check(`${name}, ${interrupts}: no wake-up is lost in ${REQUESTS} requests`, async () => {
    await using kernel = await openKernel({
      machine: "local",
      interrupts,
      watch: NEVER,
      restarts: 0,
    });
    await using device = await attachDisk(kernel, name);
    const begin = performance.now();
    const ends = read(device.client);
    const seconds = (performance.now() - begin) / 1000;
    assertEquals(ends, { ok: REQUESTS, others: 0 });
    assertEquals((await device.describe()).interrupts, interrupts);
    return `${(REQUESTS / seconds).toFixed(0)} requests a second`;
  });
}

/** Reads so often, in bursts of changing depth, each one awaited in full. */
function read({ slots, capacity }: BlockClient): { readonly ok: number; readonly others: number } {
  const ends = { ok: 0, others: 0 };
  const done = (slot: number, status: number) => {
    if (status === 0) ends.ok++;
    else ends.others++;
    slots.release(slot);
  };
  using _polling = slots.busyPoll();
  const sectors = capacity / BYTES;
  for (let submitted = 0, burst = 0; submitted < REQUESTS; burst++) {
    const depth = Math.min(DEPTHS[burst % DEPTHS.length]!, REQUESTS - submitted);
    for (let i = 0; i < depth; i++) {
      const sector = submitted++ % sectors;
      slots.submit(slots.take(), BlockOperation.read, sector, BYTES, done);
    }
    slots.publish();
    while (slots.inFlight > 0) {
      if (slots.wait(LONG) === 0) throw new Error(`a wake-up was lost before ${submitted}`);
    }
  }
  return ends;
}
