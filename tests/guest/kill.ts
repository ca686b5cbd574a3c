/**
 * A driver's process is killed under load, again and again: nothing is lost, and the work goes on.
 *
 * @module
 */

import { assert, assertNotEquals, assertRejects } from "@std/assert";
import { sha256 } from "../../classes/block/pattern.ts";
import { openKernel, RequestError } from "../../mod.ts";
import { attachDisk, BLOCK, block, has } from "./support/disk.ts";
import { check, diskHolds } from "./support/job.ts";

const BLOCKS = 128;
const KILLS = 2;

await using kernel = await openKernel({ machine: "local" });
for (const [name, disk] of [["blk", "blk"], ["blk intx", "intx"], ["nvme", "nvme"]] as const) {
  await check(`${name}: all requests are served in spite of kill -9 of the driver`, async () => {
    await using device = await attachDisk(kernel, name);
    const { client } = device;
    for (let version = 0; version < KILLS; version++) {
      const pid = device.pid!;
      const writes = Promise.all(
        Array.from({ length: BLOCKS }, (_, i) => client.write(i * BLOCK, block(i, version))),
      );
      Deno.kill(pid, "SIGKILL");
      await writes;
      for (let i = 0; i < BLOCKS; i++) {
        assert(await has(client, i, version), `block ${i} is another`);
      }
      assertNotEquals(device.pid, pid);
    }
    // What the device had in its cache when it was started anew may be gone; the application must not be told that it
    // is safe.
    await assertRejects(() => client.flush(), RequestError, "write it again");
    const written = new Uint8Array(BLOCK * BLOCKS);
    for (let i = 0; i < BLOCKS; i++) written.set(block(i, KILLS), i * BLOCK);
    await client.write(0, written);
    await client.flush();
    diskHolds(disk, 0, written.length, await sha256(written));
    return `${KILLS * BLOCKS} writes and as many reads, ${KILLS} kills`;
  });
}
