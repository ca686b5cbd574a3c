/**
 * The packages as their users get them: published to a registry of the test's own by `deno publish` itself, and used from
 * empty folders.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { PACKAGES, publish } from "../tools/publish/publish.ts";
import { patience } from "./support/patience.ts";
import { entropyDriver } from "./support/plugin.ts";
import { openRegistry, type Registry } from "../tools/publish/registry.ts";

const ROOT = new URL("../", import.meta.url);

interface Ran {
  readonly success: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** A machine that knows no registry but this one, and has fetched nothing yet. */
interface Newcomer extends AsyncDisposable {
  readonly registry: Registry;
  /** An empty folder. */
  folder(): string;
  /** Runs Deno in a folder. */
  deno(folder: string, ...args: readonly string[]): Promise<Ran>;
}

async function newcomer(): Promise<Newcomer> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openRegistry());
  const home = Deno.makeTempDirSync({ prefix: "virtio-published-" });
  stack.defer(() => Deno.removeSync(home, { recursive: true }));
  const folder = () => Deno.makeTempDirSync({ dir: home });
  const deno = async (folder: string, ...args: readonly string[]) => {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args],
      cwd: folder,
      env: { NO_COLOR: "1", JSR_URL: registry.url, DENO_DIR: `${home}/deno` },
      signal: patience(),
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { success, stdout: text(stdout), stderr: text(stderr) };
  };
  const kept = stack.move();
  return { registry, folder, deno, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

const APPLICATION = `
import { openKernel } from "jsr:@virtio/deno@^0.1.0";
for (const isolation of ["inline", "process"] as const) {
  await using kernel = await openKernel({ machine: "simulated", isolation });
  const disk = await kernel.attachFirst("block");
  await disk.client.write(0, new Uint8Array(4096).fill(42));
  await disk.client.flush();
  console.log(isolation, (await disk.client.read(0, 512))[0]);
}
`;

const SAMPLE_MANIFEST = JSON.stringify({
  name: "sample",
  entry: "./mod.ts",
  class: "entropy",
  match: [{ vendor: "1af4", device: "1044" }],
});

/** A program that reads from an entropy source, through the driver that these options of `openKernel` bring. */
function openSample(options: string): string {
  return `
    import { openKernel } from "jsr:@virtio/deno@^0.1.0";
    await using kernel = await openKernel({ machine: "simulated", ...${options} });
    const { driver, isolation, client } = await kernel.attachFirst("entropy");
    console.log(driver, isolation, (await client.read(16)).length);
  `;
}

Deno.test("packages: published in one command and used by their names only #core:published", async (t) => {
  await using stack = new AsyncDisposableStack();
  const { registry, folder, deno } = stack.use(await newcomer());
  const own = PACKAGES.map(({ name, version }) => `${name}@${version}`);
  const lines: string[] = [];
  const options = {
    args: ["--token=none"],
    registry: registry.url,
    print: (line: string) => lines.push(line),
  };

  await t.step("in an order in which each finds what it needs", async () => {
    await publish(options);
    assertEquals(registry.published, own);
  });

  await t.step("what is there already is skipped", async () => {
    lines.length = 0;
    await publish(options);
    assertEquals(lines, PACKAGES.map(({ name }) => `${name}: is there already`));
  });

  await t.step("an application, its drivers inline and in processes", async () => {
    const home = folder();
    Deno.writeTextFileSync(`${home}/main.ts`, APPLICATION);
    const { success, stdout, stderr } = await deno(home, "run", "--allow-ffi", "main.ts");
    assert(success, stderr);
    assertEquals(stdout, "inline 42\nprocess 42\n");
  });

  await t.step("a driver in a folder, which imports the plugin API by its name", async () => {
    const home = folder();
    Deno.mkdirSync(`${home}/sample`);
    Deno.writeTextFileSync(`${home}/sample/plugin.json`, SAMPLE_MANIFEST);
    Deno.writeTextFileSync(`${home}/sample/mod.ts`, entropyDriver());
    Deno.writeTextFileSync(`${home}/main.ts`, openSample(`{ plugins: ["./sample"] }`));
    const { success, stdout, stderr } = await deno(
      home,
      "run",
      "--allow-ffi",
      "--allow-read=.",
      "main.ts",
    );
    assert(success, stderr);
    assertEquals(stdout, "sample process 16\n");
  });

  await t.step("a driver in a package of a third party's, found by its manifest", async () => {
    const home = folder();
    const files = {
      "deno.json": JSON.stringify({
        name: "@acme/sample",
        version: "1.0.0",
        license: "MIT",
        exports: { ".": "./mod.ts", "./plugin.json": "./plugin.json" },
        imports: { "@virtio/deno": "jsr:@virtio/deno@^0.1.0" },
      }),
      "plugin.json": SAMPLE_MANIFEST,
      "mod.ts": entropyDriver().replace("export default", "const plugin: Plugin =")
        .replace("{ definePlugin }", "{ definePlugin, type Plugin }") +
        "\nexport default plugin;\n",
    };
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(`${home}/${name}`, text);
    }
    const sent = await deno(home, "publish", "--token=none", "--allow-dirty", "--no-check");
    assert(sent.success, sent.stderr);
    const application = folder();
    const main = `
      import manifest from "jsr:@acme/sample@^1.0.0/plugin.json" with { type: "json" };
      import "jsr:@acme/sample@^1.0.0";
      import { checkManifest } from "jsr:@virtio/deno@^0.1.0";
      ${
      openSample(`{ drivers: [{
        manifest: checkManifest(manifest, "@acme/sample"),
        entry: "jsr:@acme/sample@^1.0.0",
      }] }`)
    }`;
    Deno.writeTextFileSync(`${application}/main.ts`, main);
    const { success, stdout, stderr } = await deno(application, "run", "--allow-ffi", "main.ts");
    assert(success, stderr);
    assertEquals(stdout, "sample process 16\n");
  });

  await t.step(
    "a driver that is written for another version of the API #core:other_api",
    async () => {
      const later = folder();
      const config = { name: "@virtio/deno", version: "9.0.0", license: "MIT" };
      const api = Deno.readTextFileSync(new URL("core/plugin/plugin.ts", ROOT))
        .replace("export const API = 1;", "export const API: number = 2;")
        .replace(/^import .*/gm, "").replace(
          /: DriverLane\b|: Virtqueue\b|: Tunables\b/g,
          ": unknown",
        )
        .replace(/DriverLane|Virtqueue|Tunables/g, "unknown");
      const driver = folder();
      const files = {
        [`${later}/deno.json`]: JSON.stringify({
          ...config,
          exports: { "./plugin": "./plugin.ts" },
        }),
        [`${later}/plugin.ts`]: api,
        [`${driver}/deno.json`]: JSON.stringify({
          name: "@acme/later",
          version: "1.0.0",
          license: "MIT",
          exports: "./mod.ts",
          imports: { "@virtio/deno": "jsr:@virtio/deno@^9.0.0" },
        }),
        [`${driver}/mod.ts`]: entropyDriver().replace("export default", "const plugin: Plugin =")
          .replace("{ definePlugin }", "{ definePlugin, type Plugin }") +
          "\nexport default plugin;\n",
      };
      for (const [file, text] of Object.entries(files)) Deno.writeTextFileSync(file, text);
      for (const home of [later, driver]) {
        const sent = await deno(home, "publish", "--token=none", "--allow-dirty", "--no-check");
        assert(sent.success, sent.stderr);
      }
      const application = folder();
      for (const handed of ["", "plugin, isolation: 'inline', "]) {
        Deno.writeTextFileSync(
          `${application}/main.ts`,
          `import plugin from "jsr:@acme/later@^1.0.0";
        import { checkManifest, openKernel } from "jsr:@virtio/deno@^0.1.0";
        const manifest = checkManifest(${SAMPLE_MANIFEST}, "@acme/later");
        const driver = { manifest, entry: "jsr:@acme/later@^1.0.0", ${handed} };
        void plugin;
        await using kernel = await openKernel({
          machine: "simulated", restarts: 0, drivers: [driver as never],
          ...${handed ? "{ isolation: 'inline' as const }" : "{}"},
        });
        await kernel.attachFirst("entropy").catch((error) => console.log(error.message));`,
        );
        const { success, stdout, stderr } = await deno(
          application,
          "run",
          "--allow-ffi",
          "main.ts",
        );
        assert(success, stderr);
        assertEquals(
          stdout.replace(/^.*The driver/s, "The driver"),
          "The driver is written for version 2 of the plugin API, and this core has 1: " +
            "take an older version of the driver, or a newer @virtio/deno\n",
        );
      }
    },
  );

  await t.step("the types of all exports", async () => {
    const home = folder();
    const { exports } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
    const names = Object.keys(exports).filter((name) => exports[name].endsWith(".ts"));
    Deno.writeTextFileSync(
      `${home}/main.ts`,
      names.map((name) => `import "jsr:@virtio/deno@^0.1.0${name.slice(1)}";\n`).join(""),
    );
    const { success, stderr } = await deno(home, "check", "main.ts");
    assert(success, stderr);
  });

  await t.step("the command line", async () => {
    const { success, stdout, stderr } = await deno(
      folder(),
      ...["run", "--allow-ffi", "jsr:@virtio/deno@^0.1.0/cli"],
      ...["check", "--machine", "simulated", "--json", "--patience", "600"],
    );
    assert(success, stderr + stdout);
    assertStringIncludes(stdout, '"block"');
  });

  await t.step(
    "deno create: the folder of a driver, which uses the package #cli:create",
    async () => {
      const home = folder();
      const create = (...args: readonly string[]) =>
        deno(home, "create", "-y", "jsr:@virtio/deno@^0.1.0", "--", ...args);
      const made = await create("dice", "--class", "entropy");
      assert(made.success, made.stderr);
      const files = made.stdout.trimEnd().split("\n").sort();
      assertEquals(
        files,
        [...Deno.readDirSync(`${home}/dice`)].map(({ name }) => `dice/${name}`).sort(),
      );
      const checked = await deno(`${home}/dice`, "task", "check");
      assert(checked.success, checked.stderr);
      const again = await create("dice");
      assertEquals(again.success, false);
      assertStringIncludes(again.stderr, "error: Cannot write into dice: the folder is not empty");
      assertStringIncludes((await create()).stdout, "Usage:");
    },
  );

  await t.step(
    "the command line as a program of its own, under the name that its user chose #cli:program_name",
    async () => {
      const home = folder();
      const name = ["install", "-g", "--root", home, "--name", "vio", "--allow-ffi"];
      const { success, stderr } = await deno(home, ...name, "jsr:@virtio/deno@^0.1.0/cli");
      assert(success, stderr);
      const vio = async (...args: readonly string[]) => {
        const { code, stdout, stderr } = await new Deno.Command(`${home}/bin/vio`, {
          args: [...args],
          env: { NO_COLOR: "1", JSR_URL: registry.url, DENO_DIR: `${home}/../deno` },
          signal: patience(),
        }).output();
        return { code, text: new TextDecoder().decode(code === 0 ? stdout : stderr) };
      };
      const said: readonly [args: readonly string[], code: number, text: string][] = [
        [["ls", "--machine", "simulated"], 0, "random"],
        [["--help"], 0, "\nUsage: vio [command] [options]\n"],
        [["help", "net", "ping"], 0, "  vio net ping 10.0.2.2 --machine simulated\n"],
        [["lss"], 2, "; vio help tells more\n"],
        [["net"], 2, "; vio help net tells more\n"],
        [["show"], 2, ". vio help show has examples\n"],
        [["completions", "bash"], 0, "# Completion of vio for bash."],
      ];
      for (const [args, code, text] of said) {
        const ran = await vio(...args);
        assertEquals(ran.code, code, ran.text);
        assertStringIncludes(ran.text, text);
      }
    },
  );
});
