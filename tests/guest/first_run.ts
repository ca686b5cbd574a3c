/**
 * The first run on a machine of whose devices none may be driven.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { check, program } from "./support/job.ts";

await check("ls: lists what the kernel has", async () => {
  const { code, stdout, stderr } = await program("ls", "--json");
  assertEquals(code, 0, stderr);
  const listed = JSON.parse(stdout).devices.map((each: { address: string }) => each.address);
  const wanted = [...Deno.readDirSync("/sys/bus/pci/devices")].map(({ name }) => name).sort();
  assertEquals(listed, wanted);
  return `${wanted.length} functions`;
});
await check("no command: a simulated machine, since no device may be driven", async () => {
  const { code, stdout, stderr } = await program();
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stderr, /simulated/);
  return stdout;
});
