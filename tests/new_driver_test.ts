/**
 * From an empty folder outside of this project to a driver that passes its tests, as an author goes the way that README.md and
 * the end of docs/your-first-driver.md show.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parseManifest } from "../core/plugin/check_manifest.ts";
import { driverFiles } from "../cli/new/files.ts";
import { patience } from "./support/patience.ts";
import { program } from "./support/program.ts";

const ROOT = new URL("../", import.meta.url);

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a program in a folder. */
async function run(cwd: string, [command, ...args]: readonly string[]): Promise<Ran> {
  const { code, stdout, stderr } = await new Deno.Command(command!, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: patience(),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

function temporary(): { readonly path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "virtio-new-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** What may be asked for. */
const KINDS: readonly (readonly [name: string, args: readonly string[]])[] = [
  ["my-card", []],
  ["doubler", ["--bus", "pci"]],
  ["dice", ["--class", "entropy"]],
];

for (const [name, args] of KINDS) {
  Deno.test(`new ${[name, ...args].join(" ")}: what it writes passes as it stands #cli:new_passes`, async () => {
    using home = temporary();
    const folder = `${home.path}/${name}`;
    const deno = async (...args: readonly string[]) => {
      const ran = await run(folder, [Deno.execPath(), ...args]);
      assertEquals(ran.code, 0, `deno ${args.join(" ")}\n${ran.out}${ran.err}`);
      return ran.out;
    };
    const made = await run(home.path, program("new", name, ...args));
    assertEquals(made.code, 0, made.err);
    assertEquals(
      made.out.trimEnd().split("\n").sort(),
      [...Deno.readDirSync(folder)].map((file) => `${name}/${file.name}`).sort(),
    );
    assertStringIncludes(made.err, `cd ${name} && deno task test && deno task conform`);
    await deno("fmt", "--check");
    await deno("lint");
    await deno("task", "check");
    await deno("task", "test");
    assertMatch(await deno("task", "conform"), new RegExp(`^${name}: passed$`, "m"));
  });
}

Deno.test("new: files go into an empty folder, and nowhere else #cli:new", async () => {
  using home = temporary();
  const make = (...args: readonly string[]) => run(home.path, program("new", ...args));
  Deno.mkdirSync(`${home.path}/empty`);
  assertEquals((await make("empty", "--json")).code, 0);
  assert(Deno.statSync(`${home.path}/empty/mod.ts`).isFile);

  Deno.mkdirSync(`${home.path}/full`);
  Deno.writeTextFileSync(`${home.path}/full/mod.ts`, "mine");
  Deno.writeTextFileSync(`${home.path}/file`, "mine");
  const wrong: readonly [args: readonly string[], code: number, said: string][] = [
    [["full"], 1, "Cannot write into full: the folder is not empty, it has mod.ts"],
    [["file"], 1, "Cannot write into file: it is a file"],
    [["../up"], 2, 'Cannot name a driver "../up": wanted lower-case letters'],
    [["My"], 2, 'Cannot name a driver "My"'],
    [["mine", "--bus", "usb"], 2, 'Unknown value "usb" for --bus: wanted one of virtio, pci'],
    [["mine", "--class", "block"], 2, "Cannot write a driver of the class block"],
    [["mine", "--class", "a/b.ts"], 2, 'Cannot name a class "a/b.ts"'],
  ];
  for (const [args, code, said] of wrong) {
    const ran = await make(...args);
    assertEquals([ran.code, ran.out], [code, ""], ran.err);
    assertStringIncludes(ran.err, `error: ${said}`);
  }
  assertEquals([...Deno.readDirSync(`${home.path}/full`)].map(({ name }) => name), ["mod.ts"]);
  assertEquals(Deno.readTextFileSync(`${home.path}/full/mod.ts`), "mine");
  assertEquals(
    [...Deno.readDirSync(home.path)].map(({ name }) => name).sort(),
    ["empty", "file", "full"],
  );
});

Deno.test("new: of a published package, all names are those of the registry #cli:new", () => {
  const root = new URL("https://jsr.io/@virtio/deno/1.2.3/");
  const files = driverFiles({ name: "mine", bus: "virtio", class: "mine", root, version: "1.2.3" });
  const { imports, links, tasks } = JSON.parse(files["deno.json"]!);
  assertEquals([imports, links], [{ "@virtio/deno": "jsr:@virtio/deno@^1.2.3" }, undefined]);
  assertStringIncludes(tasks.conform, " jsr:@virtio/deno@^1.2.3/cli conform driver .");
  parseManifest(files["plugin.json"]!, "plugin.json");
  assertEquals(
    JSON.parse(files["plugin.json"]!).$schema,
    "https://jsr.io/@virtio/deno/1.2.3/schemas/plugin.json",
  );
});

Deno.test("new: what it writes imports public exports only #cli:new", () => {
  const { exports } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  for (const bus of ["virtio", "pci"] as const) {
    for (const kind of bus === "pci" ? ["mine"] : ["mine", "entropy"]) {
      const files = driverFiles({ name: "mine", bus, class: kind, root: ROOT, version: "1.2.3" });
      for (const [file, text] of Object.entries(files)) {
        for (const [, from] of text.matchAll(/ from "([^"]+)"/g)) {
          const own = from!.startsWith("./") && Object.hasOwn(files, from!.slice(2));
          const known = Object.hasOwn(exports, from!.replace("@virtio/deno", "."));
          assert(own || known, `${file} imports ${from}`);
        }
      }
    }
  }
});
