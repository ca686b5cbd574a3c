/**
 * `docs/test-your-driver.md` says what is so: its command lines are run.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { VhostMachine } from "./support/vhost_user.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { listening } from "./support/listening.ts";

const ROOT = new URL("../", import.meta.url);
const TEXT = Deno.readTextFileSync(new URL("docs/test-your-driver.md", ROOT));
const LINES = [
  ...TEXT.matchAll(/deno run --allow-ffi main\.ts (serve .*--vhost-user .*)$/gm),
  ...TEXT.matchAll(/`(serve .*--vhost-user [^`]*)`/g),
].map(([, line]) => line!);

/** Runs a command line of the text, with its files in a folder. */
async function serve(line: string, folder: string, use: (socket: string) => Promise<void>) {
  const args = line.replaceAll("/tmp/", `${folder}/`).replaceAll("disk.img", `${folder}/disk.img`)
    .split(" ");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--allow-ffi", "main.ts", ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  try {
    const socket = args[args.indexOf("--vhost-user") + 1]!;
    assert(await soon(() => listening(socket), 60_000), `it does not listen: ${line}`);
    await use(socket);
  } finally {
    end(child, "SIGINT");
  }
  const { code, stdout, stderr } = await output;
  // Ended by a signal, or by itself where it serves once.
  assert(code === 130 || code === 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).replaceAll(`${folder}/`, "/tmp/");
}

function end(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended.
  }
}

Deno.test("docs/test-your-driver.md: its command lines serve, and QEMU's are those that they print #cli:serve_doc", async (t) => {
  assert(LINES.length >= 8, LINES.join("\n"));
  const folder = Deno.makeTempDirSync({ prefix: "virtio-doc-" });
  Deno.writeFileSync(`${folder}/disk.img`, new Uint8Array(64 << 20));
  for (const line of LINES) {
    await t.step(line, async () => {
      const printed = await serve(line, folder, async (socket) => {
        using machine = new VhostMachine(socket);
        await machine.begin(0n);
        await machine.share();
      });
      const device = /-device (\S+?),/.exec(printed)![1]!;
      assertStringIncludes(TEXT, device);
      if (line.includes("blk")) {
        for (const word of printed.trim().split(" ")) assertStringIncludes(TEXT, word);
      }
    });
  }
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("docs/test-your-driver.md: a model of your own is served by a few lines #cli:serve_doc", async () => {
  const [, code] = /```ts\n([^]*?)```/.exec(TEXT)!;
  const folder = Deno.makeTempDirSync({ prefix: "virtio-doc-" });
  const socket = `${folder}/entropy.sock`;
  const module = (path: string) => new URL(path, ROOT).href;
  const { compilerOptions } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  Deno.writeTextFileSync(
    `${folder}/deno.json`,
    JSON.stringify({
      compilerOptions,
      imports: {
        "@virtio/deno/serve": module("serve/mod.ts"),
        "@virtio/deno/simulation": module("simulation/mod.ts"),
      },
    }),
  );
  Deno.writeTextFileSync(`${folder}/own.ts`, code!.replace("/tmp/entropy.sock", socket));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--check", "--allow-ffi", "own.ts"],
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  try {
    assert(await soon(() => listening(socket), 60_000), "it does not listen");
    using machine = new VhostMachine(socket);
    await machine.ready(0n);
    assertEquals((await machine.request(0, new Uint8Array(0), 64)).length, 64);
  } finally {
    end(child, "SIGKILL");
    await child.status;
    Deno.removeSync(folder, { recursive: true });
  }
});
