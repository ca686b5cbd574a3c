/**
 * A user who is not root, to whom IOMMU groups were given.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { drive, type Target } from "./support/drive.ts";
import { address, check, programOfUser, USER } from "./support/job.ts";

/** What Linux lets users lock by default, in KiB. */
const USUAL_MEMLOCK = 8192;
const TARGETS: readonly Target[] = [["rng"], ["blk", "blk"]];

function groupOf(name: string): string {
  const link = Deno.readLinkSync(`/sys/bus/pci/devices/${address(name)}/iommu_group`);
  return `/dev/vfio/${link.split("/").at(-1)}`;
}

await check("without the group: refused, and the message names the node and the fix", async () => {
  const { code, stdout, stderr } = await programOfUser(USUAL_MEMLOCK, "check", address("rng"));
  const said = stdout + stderr;
  assertEquals(code, 5, said);
  assertMatch(said, new RegExp(`${groupOf("rng")}.*chown`, "s"));
  return said;
});

for (const [name] of TARGETS) Deno.chownSync(groupOf(name), USER, USER);

await check("too little memory to lock: refused, and the message names the limit", async () => {
  const { code, stdout, stderr } = await programOfUser(64, "check", address("rng"));
  const said = stdout + stderr;
  assertEquals(code, 5, said);
  assertMatch(said, /memlock|ulimit/i);
  return said;
});

await drive(TARGETS, [], (...args) => programOfUser(USUAL_MEMLOCK, ...args));
