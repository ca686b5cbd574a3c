/**
 * What the author of a driver sees of it on the command line: what it prints, what it throws and where, and that it was
 * started anew.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { openKernel } from "../mod.ts";
import { type Here, runHere } from "./support/here.ts";
import { checkJson } from "./support/json.ts";
import { soon } from "./support/leaks.ts";
import { entropyDriver, fixture } from "./support/plugin.ts";

const LABEL = "0000:00:01.0 fixture: ";

/** Reads random bytes with a driver made of these parts. */
async function readWith(parts: Parameters<typeof entropyDriver>[0], ...more: readonly string[]) {
  using plugin = fixture(entropyDriver(parts));
  const line = ["random", "64", "--machine", "simulated", "--plugins", plugin.folder, ...more];
  return { ...await runHere(line), folder: plugin.folder };
}

Deno.test("what a driver prints is seen without --verbose, and is no data #cli:driver_prints", async () => {
  const load = `console.log("one"); console.error("two\\u001b[2J"); console.log({ three: 3 });`;
  const { exit, out, err } = await readWith({ load }, "--hex");
  assertEquals(exit, 0, err);
  assertMatch(out, /^[\da-f]{128}\n$/);
  const lines = err.trimEnd().split("\n");
  for (const said of ["one", "two\ufffd[2J", "{ three: 3 }"]) {
    assert(lines.includes(LABEL + said), err);
  }
  assertEquals((await readWith({ load }, "--hex", "--quiet")).err, "");
});

Deno.test("what a driver prints without end does not fill the terminal #cli:driver_prints", async () => {
  const { exit, err } = await readWith(
    {
      load: `for (let i = 0; i < 1_000_000; i++) console.log("flood", i);`,
    },
    "--hex",
    "--timeout",
    "60",
  );
  const lines = err.trimEnd().split("\n");
  assert(lines.length < 100 * 61, `${lines.length} lines`);
  assert(exit === 124 || lines.some((line) => /\(\d+ more lines were dropped\)$/.test(line)), err);
  for (const line of lines.slice(0, 50)) assert(line.startsWith(`${LABEL}flood`), line);
});

for (
  const [where, parts] of Object.entries({
    plan: { plan: `return oops();` },
    start: { start: `oops();` },
    rung: { rung: `oops();` },
  })
) {
  Deno.test(`what a driver throws in ${where} is told with its place #cli:driver_errors`, async () => {
    const load = `
interface Erased {
  line: number;
}
function oops(): never {
  throw new TypeError("not like this");
}
`;
    const { exit, err, folder } = await readWith({ load, ...parts }, "--hex");
    assertEquals(exit, 7, err);
    const text = entropyDriver({ load, ...parts }).split("\n");
    const line = text.findIndex((each) => each.includes("throw new TypeError")) + 1;
    assert(line > 0 && err.includes(`at oops (${folder}/mod.ts:${line}:`), err);
    assertMatch(err, /^error: .*TypeError: not like this$/m);
  });
}

/** A machine whose drivers are killed once, as soon as they are at work. */
const DEADLY: Here = {
  system: {
    async openKernel(options) {
      const kernel = await openKernel(options);
      return {
        nodes: kernel.nodes,
        machine: kernel.machine,
        loop: kernel.loop,
        async attach(address) {
          const device = await kernel.attach(address);
          Deno.kill(device.pid!, "SIGKILL");
          assert(await soon(() => device.restarts === 1, 30_000), "it was not started anew");
          return device;
        },
        [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
      };
    },
  },
};

Deno.test("that a driver was started anew is told without --verbose, and counted in each result #cli:restarts", async () => {
  const anew = /^0000:00:01\.0 random: starting anew: its process ended by signal 9$/gm;
  const machine = ["--machine", "simulated"];
  const data = await runHere(["random", "64", "--json", ...machine], DEADLY);
  assertEquals(data.exit, 0, data.err);
  assertEquals([checkJson(data.out).device.restarts, data.err.match(anew)?.length], [1, 1]);
  const check = await runHere(["check", "00:01.0", ...machine], DEADLY);
  assertEquals([check.exit, check.err.match(anew)?.length], [0, 1], check.err);
  assertMatch(check.out, /^00:01\.0 random +passed: .*; started anew 1 time$/m);
});
