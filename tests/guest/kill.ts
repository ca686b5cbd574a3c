/**
 * A driver's process is killed under load, again and again: nothing is lost, and the work goes on.
 *
 * @module
 */

import { assert, assertNotEquals } from "@std/assert";
import { sha256 } from "../../cli/check/pattern.ts";
import { openKernel } from "../../mod.ts";
import { address, check, diskHolds } from "./support/job.ts";

const KIB = 1024;
const BLOCK = 16 * KIB;
const BLOCKS = 128;
const KILLS = 3;

/** What belongs into a block. */
function block(index: number, round: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BLOCK).map((_, i) => i * 7 + index * 31 + round * 101);
}

await using kernel = await openKernel({ machine: "host" });
for (const [name, disk] of [["blk", "blk"], ["blk intx", "intx"]] as const) {
  await check(`${name}: all requests are served in spite of kill -9 of the driver`, async () => {
    await using device = await kernel.attach(address(name));
    if (device.class !== "block") throw new Error("it is no disk");
    const { client } = device;
    for (let round = 0; round < KILLS; round++) {
      const pid = device.pid!;
      const writes = Promise.all(
        Array.from({ length: BLOCKS }, (_, i) => client.write(i * BLOCK, block(i, round))),
      );
      Deno.kill(pid, "SIGKILL");
      await writes;
      for (let i = 0; i < BLOCKS; i++) {
        const wanted = block(i, round);
        const found = await client.read(i * BLOCK, BLOCK);
        assert(found.every((byte, at) => byte === wanted[at]), `block ${i} is another`);
      }
      assertNotEquals(device.pid, pid);
    }
    const written = new Uint8Array(BLOCK * BLOCKS);
    for (let i = 0; i < BLOCKS; i++) written.set(block(i, KILLS - 1), i * BLOCK);
    await client.flush();
    diskHolds(disk, 0, written.length, await sha256(written));
    return `${KILLS * BLOCKS} writes and as many reads, ${KILLS} kills`;
  });
}
