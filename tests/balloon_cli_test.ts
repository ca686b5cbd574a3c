/**
 * The commands of the balloon, as a user starts them: with the permission that they ask for, and no other.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { qemuTest } from "./support/machine.ts";
import { complaints, program, run, start } from "./support/program.ts";

/** The program with its only permission. */
const ours = (line: string) => program(...line.split(" "));

async function ran(line: string) {
  const { code, text, err } = await run(...ours(line));
  return { code, out: text, err };
}

for (const isolation of ["process", "inline"]) {
  Deno.test(`balloon info says what the hypervisor wants and gets, and what cannot be (${isolation})`, async () => {
    const { code, out, err } = await ran(
      `balloon info --machine simulated --isolation ${isolation}`,
    );
    assertEquals([code, err], [0, ""]);
    assertMatch(out, /^arena +16384 pages \(64\.0 MiB\) of this program's own memory: no more/m);
    assertMatch(out, /^hypervisor wants +4096 pages/m);
    assertMatch(out, /^in balloon +4096 pages/m);
    assertMatch(out, /^stays +4096 pages/m);
    assertMatch(out, /^counter +balloon_inflate 4096$/m);
    assertMatch(out, /^hypervisor is told +totalMemory \d+$/m);
  });
}

Deno.test("balloon info tells programs the same", async () => {
  const line = "balloon info --machine simulated --json --tune balloon.arena_mib=8";
  const { code, out } = await ran(line);
  assertEquals(code, 0);
  const json = JSON.parse(out);
  assertEquals([json.pages, json.floor, json.requested], [2048, 512, 4096]);
  assertEquals([json.target, json.actual, json.pageBytes], [1536, 1536, 4096]);
  assertEquals([json.deflateOnOom, json.hinting, json.reporting], [true, true, true]);
  assert(json.counters.balloon_inflate >= 1536 && json.statistics.freeMemory > 0);
});

Deno.test("balloon info says where there is no balloon", async () => {
  const { code, out, err } = await ran("balloon info --machine simulated --device 00:01.0");
  assertEquals([code, out], [3, ""]);
  assertStringIncludes(err, "no driver for a device of class balloon");
});

for (const [signal, json] of [["SIGINT", false], ["SIGTERM", true]] as const) {
  Deno.test(`balloon watch tells of each change, and ends in order at ${signal}`, async () => {
    const child = start(ours(`balloon watch --machine simulated ${json ? "--json" : ""}`.trim()));
    let text = "";
    let told = false;
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const over = json ? text.includes('"actual":4096') : text.includes("in balloon 4096");
      if (over && !told) child.kill(signal);
      told ||= over;
    }
    const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
    assertEquals([code, complaints(err)], [json ? 143 : 130, ""]);
    const lines = text.trim().split("\n");
    assertEquals(new Set(lines).size, lines.length, "no line twice");
    if (!json) {
      return assertEquals(lines[0], "hypervisor wants 4096 pages, target 4096, in balloon 0");
    }
    for (const line of lines) assertEquals(JSON.parse(line).requested, 4096);
  });
}

Deno.test("balloon watch ends when its time is over", async () => {
  const { code, err } = await ran("balloon watch --machine simulated --timeout 2");
  assertEquals(code, 124);
  assertMatch(err, /^error: Not done after 2 seconds/);
});

qemuTest("check drives the balloon of QEMU's default machine", async () => {
  const { code, out, err } = await ran("check --machine qemu");
  assertEquals(code, 0, out + err);
  assertMatch(
    out,
    /balloon +passed: hypervisor wants 0 pages, 0 of 16384 are in it/,
  );
});
