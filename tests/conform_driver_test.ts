/**
 * `conform driver`, as the author of a driver runs it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ROWS } from "../testing/mod.ts";
import { BROKEN } from "./support/broken_drivers.ts";
import { entropyDriver, fixture } from "./support/plugin.ts";
import { program, run } from "./support/program.ts";

const ROOT = new URL("../", import.meta.url);
const MODEL = `export { EntropyModel } from "${new URL("plugins/random/model.ts", ROOT)}";`;
/** Twenty requests at once: more than the driver's queue has room for. */
const CLASS = `
  import { defineClass, demand, type DeviceClass } from "@virtio/deno/class";
  const busy: DeviceClass<() => Promise<void>> = defineClass({
    lanes: ["requests"],
    open: ({ requests }) => ({
      client: async () => {
        await Promise.all(
          Array.from({ length: 20 }, () => demand(requests, "Cannot ask", { operation: 0, length: 256 })),
        );
      },
    }),
    async check(ask) {
      await ask();
      return { findings: [], figures: {}, summary: "asked" };
    },
  });
  export default busy;
`;
/** What of the tests of our own drivers `driver_test.ts` of each does not do anyway. */
const OWN_ROWS = ROWS.filter((row) => row !== "lies").join();

/** Runs `conform driver` on a folder. */
function conform(folder: string, ...more: readonly string[]) {
  const [deno, command, ...args] = program("conform", "driver", folder, ...more);
  return run(deno!, command!, `--allow-read=${folder}`, ...args);
}

for (const { name } of Deno.readDirSync(new URL("plugins", ROOT))) {
  Deno.test(`conform driver: ${name} passes #cli:conform_driver`, async () => {
    const folder = new URL(`plugins/${name}`, ROOT).pathname;
    const tunables = name === "balloon" ? ["--tune", "balloon.arena_mib=2"] : [];
    const { code, text, err } = await conform(folder, "--only", OWN_ROWS, ...tunables);
    assertEquals([code, err], [0, ""], text);
    assertMatch(text, new RegExp(`^start +passed, 2 of 2 .*\n[^]*^${name}: passed\n$`, "m"));
  });
}

for (const row of ROWS) {
  Deno.test(`conform driver: a driver that is broken fails ${row}, and it is said how #cli:conform_driver`, async () => {
    const { text: driver, found } = BROKEN[row];
    using plugin = fixture(driver, { files: { "model.ts": MODEL, "class.ts": CLASS } });
    const { code, text, err } = await conform(plugin.folder, "--only", row);
    assertEquals([code, err], [1, ""], text);
    assertMatch(text, new RegExp(`^${row} +failed, `, "m"));
    assertMatch(text, found);
    assertMatch(text, /^fixture: failed, \d+ of \d+ tests\n$/m);
  });
}

Deno.test("conform driver: JSON and JUnit tell the same, each row #cli:conform_driver", async () => {
  const { text: driver } = BROKEN.start;
  using plugin = fixture(driver, { files: { "model.ts": MODEL } });
  const report = `${plugin.folder}/report.xml`;
  const { code, text } = await conform(
    plugin.folder,
    ...["--only", "start,queue reset", "--json", "--junit", report],
  );
  const { command, driver: { name, file }, passed, rows } = JSON.parse(text);
  assertEquals([code, command, name, passed], [1, "conform driver", "fixture", false]);
  assertEquals(file, `${plugin.folder}/plugin.json`);
  assertEquals(rows.length, 3);
  for (const each of rows) {
    assertEquals(
      Object.keys(each).sort(),
      ["detail", "isolation", "milliseconds", "mistake", "reason", "result", "row"],
    );
  }
  const failures = rows.filter(({ result }: { result: string }) => result === "failed").length;
  const xml = Deno.readTextFileSync(report);
  assertStringIncludes(xml, `tests="${rows.length}" failures="${failures}"`);
  assertEquals([...xml.matchAll(/<failure message="start \(/g)].length, 2);
  assertStringIncludes(xml, "Error: not today");
});

Deno.test("conform driver: what driver and model print is no data #cli:driver_prints", async () => {
  using plugin = fixture(entropyDriver({ load: `console.log("driver here");` }), {
    files: { "model.ts": `console.log("model here");\n${MODEL}` },
  });
  const { code, text, err } = await conform(plugin.folder, "--only", "start", "--json");
  assertEquals([code, JSON.parse(text).passed], [0, true], err);
  for (const said of ["driver here", "model here"]) assertStringIncludes(err, said);
});

Deno.test("conform driver: what is wrong with a folder, a row or a model is one sentence #cli:conform_driver", async () => {
  using plugin = fixture(entropyDriver(), {
    files: {
      "model.ts": MODEL,
      "none.ts": "export const nothing = 1;",
      "one.ts": `import { EntropyModel } from "${new URL("plugins/random/model.ts", ROOT)}";
        export default new EntropyModel();`,
    },
  });
  const { folder } = plugin;
  const wrong: readonly [args: readonly string[], code: number, said: string][] = [
    [
      ["--only", "strat"],
      2,
      'Unknown row "strat" for --only. Did you mean "start"? There are start,',
    ],
    [["--model", `${folder}/none.ts`], 2, "it exports no device model"],
    [["--model", `${folder}/one.ts`], 2, "each test takes a new one"],
    [["--model", `${folder}/gone.ts`], 2, "Module not found"],
    [["--class", `${folder}/none.ts`], 2, "it exports no device class"],
    [["--only", "start", "--junit", folder], 1, "it is a folder"],
  ];
  for (const [args, code, said] of wrong) {
    const ended = await conform(folder, ...args);
    assertEquals(ended.code, code, ended.err);
    assertStringIncludes(ended.err, said);
    assertEquals(ended.err.trimEnd().split("\n").length, 1, ended.err);
  }
  const nowhere = await conform(`${folder}/nowhere`);
  assert(
    nowhere.code === 2 && nowhere.err.startsWith("error: Cannot find a driver in"),
    nowhere.err,
  );
  const unread = await run(...program("conform", "driver", folder));
  assertEquals(unread.code, 5, unread.err);
  assertStringIncludes(unread.err, `--allow-read=${folder}`);
});
