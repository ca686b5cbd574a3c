import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BLK, RANDOM, runFake, type World } from "./fake_test.ts";

const KIND = { open: () => ({ client: {} }) };
const MODEL = { id: 18, queues: [64], handle: () => 0 };

/** What the kernel was opened with. */
async function opened(line: string, world: World): Promise<string> {
  const { exit, err, calls } = await runFake(`ls --machine simulated ${line}`, world);
  assertEquals([exit, err], [0, ""]);
  return calls.find((call) => call.startsWith("open"))!;
}

Deno.test("--class takes the classes of a module by the names of their exports #cli:class_module", async () => {
  const modules = {
    "./kinds.ts": { keyboard: KIND, mouse: KIND, KeyboardClient: class {}, bytes: 8 },
    "./more.ts": { tablet: KIND, default: KIND },
  };
  assertEquals(
    await opened("--class ./kinds.ts --class ./more.ts", { modules }),
    'open simulated {"classes":["keyboard","mouse","tablet"]}',
  );
});

Deno.test("--class takes a default export by the name that the drivers of --plugins give #cli:class_module", async () => {
  const modules = { "./class.ts": { default: KIND } };
  assertEquals(
    await opened("--plugins ./mine --class ./class.ts", { modules, drivers: [RANDOM, BLK] }),
    'open simulated ./mine {"classes":["entropy"]}',
  );
});

Deno.test("--model takes what the default export makes, or is, in place of the usual devices #cli:model_module", async () => {
  const modules = { "./a.ts": { default: () => MODEL }, "./b.ts": { default: MODEL } };
  assertEquals(
    await opened("--model ./a.ts --model ./b.ts", { modules }),
    'open simulated {"devices":2}',
  );
});

/** Modules that are no good, and what is said of them. */
const WRONG: readonly (readonly [string, World, number, string])[] = [
  [
    "--class ./none.ts",
    {},
    2,
    'Cannot use --class ./none.ts: Module not found "file://./none.ts".',
  ],
  [
    "--class /secret/class.ts",
    {},
    5,
    "start that by deno run --allow-ffi --allow-read=/secret",
  ],
  [
    "--class /secret/class.ts",
    {},
    5,
    "it runs in this program, which may not read /secret/class.ts",
  ],
  [
    "--class ./a.ts",
    { modules: { "./a.ts": { bytes: 8, open: () => {}, default: 3 } } },
    2,
    "it exports no device class, as defineClass makes one, but bytes, open, default",
  ],
  ["--class ./a.ts", { modules: { "./a.ts": {} } }, 2, "as defineClass makes one, but nothing"],
  [
    "--class ./a.ts",
    { modules: { "./a.ts": { default: KIND } } },
    2,
    "its class is the default export and has no name; export it by the name that plugin.json gives",
  ],
  [
    "--class ./a.ts --class ./b.ts",
    { modules: { "./a.ts": { keyboard: KIND }, "./b.ts": { keyboard: KIND } } },
    2,
    "Cannot use --class ./b.ts: there is a class named keyboard already",
  ],
  [
    "--model ./a.ts",
    { modules: { "./a.ts": { KeyboardModel: class {} } } },
    2,
    "Cannot use --model ./a.ts: it exports no device model",
  ],
  ["--class=", {}, 2, "Cannot use --class without a value: wanted a module"],
];

for (const [line, world, status, says] of WRONG) {
  Deno.test(`${line} that is no good is one sentence: ${says.slice(0, 60)} #cli:class_module`, async () => {
    const { exit, err, calls } = await runFake(`check --machine simulated ${line}`, world);
    assertEquals(exit, status, err);
    assertStringIncludes(err, says);
    assertEquals(err.split("\n").length, 1);
    assertEquals(calls.filter((call) => call.startsWith("open")), []);
  });
}

Deno.test("--model is for simulated machines #cli:model_module", async () => {
  for (const line of ["check --model ./a.ts", "check --machine qemu --model ./a.ts"]) {
    const { exit, err } = await runFake(line);
    assertEquals(exit, 2);
    assertStringIncludes(err, "it is for --machine simulated");
  }
});

Deno.test("what is wrong in a module is told with its place #cli:module_place", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const wrong: readonly [text: string, said: string, place: string][] = [
      ["export const a = (1;", "SyntaxError: Expected ',', got ';'", "1:20"],
      ["\nnothing.here;", "nothing is not defined", "2:1"],
      ['\nimport "./gone.ts";', `Module not found "file://${folder}/gone.ts".`, "2:8"],
      ["export default 3;", "it exports no device class", ""],
    ];
    for (const [i, [text, said, place]] of wrong.entries()) {
      const file = `${folder}/${i}.ts`;
      Deno.writeTextFileSync(file, text);
      const importModule = async (path: string) => await import(`file://${path}`);
      const { exit, err } = await runFake(`ls --machine simulated --class ${file}`, {
        importModule,
      });
      assertEquals([exit, err.split("\n").length], [2, 1]);
      assertStringIncludes(err, `Cannot use --class ${file}: ${said}`);
      assert(err.endsWith(place === "" ? "default" : ` (file://${file}:${place})`), err);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
