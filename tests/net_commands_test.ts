/**
 * The commands about networks on the simulated machine, as a user starts them: with `--allow-ffi` and nothing else.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { program, run } from "./support/program.ts";

for (const isolation of ["process", "inline"]) {
  Deno.test(`net ping reaches the station at the other end of a simulated wire: ${isolation}`, async () => {
    const line = `net ping 10.0.2.2 --machine simulated --count 2 --interval 0.01`;
    const { code, text, err } = await run(...program(...line.split(" "), "--isolation", isolation));
    assertEquals(code, 0, text + err);
    assertMatch(text, /^PING 10\.0\.2\.2 \(10\.0\.2\.2\) from 10\.0\.2\.15 : 56\(84\) bytes/);
    assertStringIncludes(text, "\n2 packets transmitted, 2 received, 0% packet loss");
    assertStringIncludes(err, "Address 10.0.2.15, lent by 10.0.2.2");
  });
}

Deno.test("net bench counts what a simulated card sends", async () => {
  const line = "net bench --machine simulated --seconds 0.05 --json";
  const { code, text, err } = await run(...program(...line.split(" ")));
  assertEquals(code, 0, err);
  const { figures, to, echo } = JSON.parse(text);
  assertEquals([figures.length, to, echo], [8, null, null]);
  for (const { sent, received } of figures) {
    assert(sent > 0);
    assertEquals(received, null);
  }
});
