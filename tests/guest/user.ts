/**
 * A user other than root that was given IOMMU groups.
 *
 * @module
 */

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { runCheck } from "./support/drive.ts";
import { address, check, programOfUser, USER } from "./support/job.ts";

/** What Linux lets users lock by default, in KiB. */
const USUAL_MEMLOCK = 8192;
const ENOUGH_MEMLOCK = 65536;

function groupOf(name: string): string {
  const link = Deno.readLinkSync(`/sys/bus/pci/devices/${address(name)}/iommu_group`);
  return `/dev/vfio/${link.split("/").at(-1)}`;
}

await check("without the group: refused, and the message names the node and the fix", async () => {
  const { code, stdout, stderr } = await programOfUser(USUAL_MEMLOCK, "check", address("rng"));
  const said = stdout + stderr;
  assertEquals(code, 4, said);
  assertMatch(said, new RegExp(`may not open ${groupOf("rng")}; as root: chown`));
  return said;
});

for (const name of ["rng", "blk"]) Deno.chownSync(groupOf(name), USER, USER);

await check(
  "too little memory may be locked: the message names the limit and the fix",
  async () => {
    const { code, stdout, stderr } = await programOfUser(USUAL_MEMLOCK, "check", address("blk"));
    const said = stdout + stderr;
    assertNotEquals(code, 0, said);
    assertMatch(said, new RegExp(`may lock ${USUAL_MEMLOCK * 1024} bytes.*ulimit -l`));
    return said;
  },
);

await runCheck([["blk", "blk"]], [], (...args) => programOfUser(ENOUGH_MEMLOCK, ...args));
