/**
 * The benchmark as a program.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readMeasurement } from "../bench/measurement.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { run, Running } from "./support/program.ts";

const bench = (...args: readonly string[]) => [
  ...[Deno.execPath(), "run", "-A", new URL("../bench/main.ts", import.meta.url).pathname],
  ...args,
];
const withoutTools = withoutPrograms("taskset", "setpriv");
/** One that needs no other program. */
const SUBJECT = "blk:simulated, split";

testWith(
  withoutTools,
  "a measurement is written, and compared with itself has not changed #bench:json",
  async () => {
    const path = await Deno.makeTempFile();
    try {
      const first = await run(...bench(SUBJECT, "--rounds", "1", "--json", path));
      assertEquals(first.code, 0, first.err);
      assertStringIncludes(first.text, "simulated, split ring");
      const { figures, missing, rounds } = await readMeasurement(path);
      assertEquals(rounds, 1);
      const had = figures.map(({ at, contender }) => `${at} ${contender}`).sort();
      const wanted = [1, 4, 32, 128].flatMap((at) => [`${at} inline`, `${at} process`]).sort();
      assertEquals(had, wanted, JSON.stringify(missing));
    } finally {
      await Deno.remove(path);
    }
  },
);

testWith(
  withoutTools,
  "interrupted, the bench leaves no program and no file #bench:ctrl_c",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const left = await leftovers(async () => {
        const command = ["env", `TMPDIR=${folder}`, ...bench(SUBJECT, "--rounds", "1000")];
        await using running = new Running(command);
        const isThere = () => [...Deno.readDirSync(folder)].length > 0;
        assert(await soon(isThere, 30_000), "it never begins");
        running.interrupt();
        assertEquals((await running.ended()).code, 130);
      });
      assertEquals(left, []);
      assertEquals([...Deno.readDirSync(folder)], []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

const MISUSES: readonly (readonly [args: readonly string[], said: RegExp])[] = [
  [["nose"], /^There is no suite "nose"; there are ring, blk, /],
  [["--frob"], /^There is no option --frob/],
  [["--rounds", "0"], /^--rounds is "0", wanted an integer/],
  [["--json", "/nowhere/x.json"], /^Cannot write \/nowhere\/x\.json: there is no folder/],
  [["--compare", "/nowhere/x.json"], /^Cannot take .* for a measurement: there is no such file/],
];

Deno.test("what cannot be ends in one sentence, before anything is measured #bench:bad_input", async () => {
  await Promise.all(MISUSES.map(async ([args, said]) => {
    const { code, text, err } = await run(...bench(...args));
    assertEquals([code, text], [2, ""], err);
    assertMatch(err.trim(), said);
    assertEquals(err.trim().split("\n").length, 1);
  }));
});
