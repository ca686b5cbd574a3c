/**
 * Without an IOMMU: refused, unless the user insists. Then also transitional devices work, by both kinds of registers.
 *
 * @module
 */

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { runCheck, type Target } from "./support/drive.ts";
import { address, check, program, sh } from "./support/job.ts";

const MODERN: readonly Target[] = [["rng"], ["blk", "blk"], ["transitional rng"]];
const LEGACY: readonly Target[] = [
  ["transitional blk", "transitional"],
  ["legacy blk", "legacy"],
];
const ALL = [...MODERN, ...LEGACY].map(([name]) => address(name));

await check("bind: to vfio-pci is refused, there is no IOMMU", async () => {
  const { code, stdout, stderr } = await program("bind", address("rng"));
  assertEquals(code, 4, stdout + stderr);
  assertMatch(stderr, /IOMMU/);
  return stderr;
});
await check("bind: to uio_pci_generic", async () => {
  const { code, stdout, stderr } = await program("bind", "--driver", "uio_pci_generic", ...ALL);
  assertEquals(code, 0, stdout + stderr);
  return stdout;
});
await check("check: is refused without --unsafe-dma", async () => {
  const { code, stdout, stderr } = await program("check", address("rng"));
  assertEquals(code, 4, stdout + stderr);
  assertMatch(stdout + stderr, /--unsafe-dma/);
  return stdout + stderr;
});
await check("ls: says that DMA is unsafe", async () => {
  const { stdout } = await program("ls");
  assertMatch(stdout, /UNSAFE DMA/);
});
await check("check --unsafe-dma: without huge pages it says how to get some", async () => {
  const { code, stdout, stderr } = await program("check", "--unsafe-dma", address("rng"));
  assertNotEquals(code, 0, stdout + stderr);
  assertMatch(stdout + stderr, /nr_hugepages/);
  return stdout + stderr;
});
await sh("echo 64 > /proc/sys/vm/nr_hugepages");
await runCheck(MODERN, ["--unsafe-dma"]);
await runCheck(LEGACY, ["--unsafe-dma", "--legacy"]);
