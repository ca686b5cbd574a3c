import { assert, assertEquals, assertThrows } from "@std/assert";
import { ManifestError } from "../plugin/manifest.ts";
import { OsError } from "../linux/os_error.ts";
import { libc } from "../linux/libc.ts";
import { loadPlugin } from "./load_plugin.ts";
import { patience } from "../../tests/support/patience.ts";

// Opened once for the whole process, so not by a test.
libc();

const manifest = {
  name: "mine",
  description: "for a test",
  version: "1.0.0",
  entry: "./mod.ts",
  class: "entropy",
  match: [{ vendor: "1af4", device: "1044" }],
};

/** A folder for a driver, as `name`, for as long as `use` takes. */
function withFolder(
  name: string,
  use: (folder: string) => void,
  text = JSON.stringify(manifest),
): void {
  const base = Deno.makeTempDirSync();
  try {
    const folder = `${base}/${name}`;
    Deno.mkdirSync(folder, { recursive: true });
    Deno.writeTextFileSync(`${folder}/plugin.json`, text);
    // A module that says so if it is ever evaluated.
    Deno.writeTextFileSync(`${folder}/mod.ts`, "throw new Error('evaluated');");
    use(folder);
  } finally {
    Deno.removeSync(base, { recursive: true });
  }
}

Deno.test("loadPlugin() reads what a driver says of itself, and runs none of it", () => {
  withFolder("mine", (folder) => {
    for (const path of [folder, `${folder}/`, `${folder}//`]) {
      const { manifest: read, entry, plugin } = loadPlugin(path);
      assertEquals([read.name, read.class, plugin], ["mine", "entropy", undefined]);
      assertEquals(new URL(entry).pathname, `${folder}/mod.ts`);
    }
  });
});

for (const name of ["with space", "a#b", "what?", "100%", "50%20", "größe"]) {
  Deno.test(`loadPlugin() finds the module of a folder named ${name}`, () => {
    withFolder(name, (folder) => {
      const { entry } = loadPlugin(folder);
      // A file URL that leads to a file that is there.
      assert(Deno.statSync(new URL(entry)).isFile);
    });
  });
}

Deno.test("loadPlugin() says what is wrong with a folder", () => {
  assertThrows(
    () => loadPlugin("/nonexistent"),
    ManifestError,
    "Cannot find a driver in /nonexistent: wanted the folder of a driver, which has a file plugin.json",
  );
  withFolder("folder/plugin.json", (folder) => {
    assertThrows(() => loadPlugin(`${folder}/..`), OsError, "EISDIR");
  });
  withFolder("bad", (folder) => {
    assertThrows(() => loadPlugin(folder), ManifestError, `${folder}/plugin.json`);
  }, "{");
});

Deno.test("loadPlugin() needs no permission but FFI", async () => {
  const folder = new URL("../../plugins/random", import.meta.url).pathname;
  const script = `import { loadPlugin } from ${
    JSON.stringify(import.meta.resolve("./load_plugin.ts"))
  };
    console.log(loadPlugin(${JSON.stringify(folder)}).manifest.name);`;
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(file, script);
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: ["run", "--allow-ffi", "--no-prompt", "--no-check", file],
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert(success, text(stderr));
    assertEquals(text(stdout), "random\n");
  } finally {
    Deno.removeSync(file);
  }
});
