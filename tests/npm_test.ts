/**
 * The npm package as its users get it: made by `deno pack`, installed by npm, run by Node.js, and checked by TypeScript.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { buildByDnt, npmExports, pack } from "../tools/npm.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { patience } from "./support/patience.ts";

/** The versions of Node.js that it is for. */
const NODES = ["20", "24"] as const;

const USES = `
import { ask, goneAfter, lying } from "@virtio/deno/simulation";
import { EntropyModel } from "@virtio/deno/models/entropy";
import { DiskModel } from "@virtio/deno/models/block";
import { definePlugin } from "@virtio/deno/plugin";
import { defineClass } from "@virtio/deno/class";
import { layoutSplit, makeDeviceQueue, makeDriverQueue } from "@virtio/deno/virtqueue";

const answer = ask(new EntropyModel(), new Uint8Array(0), 16);
const head = new Uint8Array(16);
const read = ask(new DiskModel({ capacity: 4096 }), head, 513);
const made = definePlugin({ plan: () => ({ queues: {}, lanes: {} }), start: () => ({ rung() {} }) });
console.log(JSON.stringify({
  random: answer?.written,
  differ: new Set(answer?.bytes).size > 4,
  read: [read?.written, read?.bytes[512], read?.bytes[0]],
  plans: Object.keys(made.plan({} as never)).sort(),
  functions: [goneAfter, lying, defineClass, makeDriverQueue, makeDeviceQueue].every((each) =>
    typeof each === "function"
  ),
  layout: layoutSplit(0, 64, 0).driver,
}));
`;

interface Ran {
  readonly success: boolean;
  readonly out: string;
}

async function run(cwd: string, command: string, ...args: readonly string[]): Promise<Ran> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd,
    stdin: "null",
    env: { NO_COLOR: "1", NPM_CONFIG_UPDATE_NOTIFIER: "false" },
    signal: patience(),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success, out: text(stdout) + text(stderr) };
}

/** How to run a version of Node.js: this machine's, if it is that one, else npm's. */
async function nodeOf(version: string, cwd: string): Promise<readonly string[]> {
  const { out } = await run(cwd, "node", "--version");
  return out.startsWith(`v${version}.`) ? ["node"] : ["npx", "-y", "-p", `node@${version}`, "node"];
}

const obstacle = withoutPrograms("node", "npm", "npx");

testWith(
  obstacle,
  "npm: the package runs under Node.js and its types are strict #core:npm",
  async (t) => {
    const home = Deno.makeTempDirSync({ prefix: "virtio-npm-test-" });
    try {
      const { pure, denoOnly } = await npmExports();
      assert(
        Object.keys(pure).length > 15 && denoOnly.includes("."),
        JSON.stringify({ pure, denoOnly }),
      );
      await pack(`${home}/package.tgz`);
      Deno.writeTextFileSync(`${home}/package.json`, JSON.stringify({ type: "module" }));
      const names = ["./package.tgz", "typescript@5.9", "@types/node@20"];
      const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
      const installed = await run(home, "npm", "install", ...quiet, ...names);
      assert(installed.success, installed.out);

      await t.step("types: strict, without skipLibCheck, all exports", async () => {
        const all = [...Object.keys(pure), ...denoOnly].map((name, i) =>
          `import * as all${i} from "@virtio/deno${name.slice(1)}";\nconsole.log(all${i});\n`
        );
        Deno.writeTextFileSync(`${home}/all.ts`, all.join(""));
        Deno.writeTextFileSync(`${home}/uses.ts`, USES);
        const compilerOptions = {
          strict: true,
          module: "nodenext",
          target: "es2022",
          types: ["node"],
          outDir: "out",
          skipLibCheck: false,
        };
        const files = ["all.ts", "uses.ts"];
        Deno.writeTextFileSync(`${home}/tsconfig.json`, JSON.stringify({ compilerOptions, files }));
        const { success, out } = await run(home, "node", "node_modules/typescript/bin/tsc");
        assert(success, out);
      });

      for (const version of NODES) {
        await t.step(`Node.js ${version}`, async () => {
          const [command, ...args] = await nodeOf(version, home);
          const node = (...more: readonly string[]) => run(home, command!, ...args, ...more);
          assertMatch((await node("--version")).out, new RegExp(`^v${version}\\.`));
          const used = await node("out/uses.js");
          assertEquals(
            used.out.trim(),
            JSON.stringify({
              random: 16,
              differ: true,
              read: [513, 0, 0],
              plans: ["lanes", "queues"],
              functions: true,
              layout: 1024,
            }),
          );
          const tried = `
          for (const name of ${JSON.stringify([...Object.keys(pure), ...denoOnly])}) {
            const said = await import("@virtio/deno" + name.slice(1))
              .then((all) => Object.keys(all).length > 0 ? "there" : "empty", (e) => e.message);
            console.log(name + " " + said);
          }`;
          Deno.writeTextFileSync(`${home}/all.mjs`, tried);
          const lines = (await node("all.mjs")).out.trim().split("\n");
          assertEquals(lines.length, Object.keys(pure).length + denoOnly.length);
          for (const name of Object.keys(pure)) {
            assert(lines.includes(`${name} there`), lines.join("\n"));
          }
          for (const name of denoOnly) {
            const line = lines.find((each) => each.startsWith(`${name} `)) ?? "";
            assertStringIncludes(line, `@virtio/deno${name.slice(1)} needs Deno, where it is jsr:`);
            assertStringIncludes(line, "/simulation");
          }
        });
      }
    } finally {
      Deno.removeSync(home, { recursive: true });
    }
  },
);

Deno.test("npm: the same package by dnt, or why not", async (t) => {
  const home = Deno.makeTempDirSync({ prefix: "virtio-dnt-test-" });
  try {
    const why = await buildByDnt(`${home}/npm`);
    if (why !== undefined) {
      console.log(why);
      assertMatch(why, /^skipped: jsr:@deno\/dnt@\S+ cannot be fetched \(.+\)$/);
    } else await t.step("has a package.json", () => void Deno.statSync(`${home}/npm/package.json`));
  } finally {
    Deno.removeSync(home, { recursive: true });
  }
});
