/**
 * No wake-up is lost, whatever the kind of interrupt: neither side looks without being told, so that a request whose
 * wake-up is lost never ends, and fails by its deadline.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type InterruptKind, openKernel } from "../mod.ts";
import "./support/libc.ts";
import { qemuTest } from "./support/machine.ts";

/** One at a time, where each request needs a wake-up, and some at once, where they can meet each other. */
const DEPTHS = [[1, 15_000], [4, 25_000], [32, 60_000]] as const;
const REQUESTS = DEPTHS.reduce((sum, [, count]) => sum + count, 0);
/** Longer than any test, as long as a timer can be. */
const NEVER = 2 ** 31 - 1;
const KINDS: readonly InterruptKind[] = ["msix", "shared", "intx"];
const NULL_DISK = [
  ...["-blockdev", "driver=null-co,size=1048576,read-zeroes=on,node-name=disk"],
  ...["-device", "virtio-blk-pci,drive=disk"],
];

for (const interrupts of KINDS) {
  qemuTest(`${REQUESTS} requests by ${interrupts}: no wake-up is lost`, async () => {
    await using kernel = await openKernel({
      machine: "qemu",
      qemu: { arguments: NULL_DISK },
      interrupts,
      restarts: 0,
      watch: NEVER,
    });
    const device = await kernel.attachFirst("block");
    for (const [depth, count] of DEPTHS) {
      let left = count;
      await Promise.all(Array.from({ length: depth }, async () => {
        while (left-- > 0) await device.client.read(0, 512);
      }));
    }
    const description = await device.describe();
    assertEquals(description.interrupts, interrupts);
    assertEquals(description.queues[0]!.completed, REQUESTS);
  });
}
