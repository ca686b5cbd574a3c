/**
 * Each example of each help text is run as a whole line of a shell, with what stands around it: pipes, files, other programs.
 *
 * Where a line is about devices of the user's machine, it gets those of a simulated one; what cannot run at all says why.
 *
 * @module
 */

import { assert } from "@std/assert";
import { COMMANDS } from "../cli/commands.ts";
import { EXAMPLES } from "../cli/help.ts";
import { driverFiles } from "../cli/new/files.ts";
import { findProgram } from "../core/linux/file.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { withoutQemu } from "./support/machine.ts";
import { OnTerminal, withoutTerminal } from "./support/terminal.ts";

const ROOT = new URL("../", import.meta.url);
/** A line that does not end has failed. */
const PATIENCE = 90_000;
/** Lines that run at the same time. */
const AT_ONCE = 3;

/** Why a line is not run. */
const NOT_RUN: readonly (readonly [line: RegExp, why: string])[] = [
  [/^(un)?bind (?!.*--dry-run)/, "it takes a device of this machine from its kernel, or gives it"],
  [/guest_agent/, "it needs a port that only a guest's hypervisor has"],
  [/^net ping 192\.168/, "it needs a station at that address"],
  [/^net bench --device .* --to /, "it needs two cards on one network"],
  [/^conform driver \.( --json)?$/, "tests/new_driver_test.ts and conform_driver_test.ts run it"],
  [/^conform device --machine qemu$/, "tests/conform_qemu_test.ts does it"],
];

/** Lines that are about this machine, and harm nothing there. */
const HARMLESS =
  /^(top|hosts|ls|drivers|doctor|help|new|completions|serve|conform driver|(un)?bind)\b/;
/** Lines that go on until they are ended: they have said something before. */
const ENDLESS =
  /^(top(?!.*--count)|balloon watch|blk serve|net bridge|serve|net dump(?!.*--count))\b/;
/** Lines that look at this machine: what stands there decides how they end. */
const LOOKS: Readonly<Record<string, readonly number[]>> = {
  doctor: [0, 1],
  "doctor --json": [0, 1],
  "bind 00:03.0 --dry-run": [0, 3, 4, 5],
  "unbind 00:03.0 --dry-run": [0, 3, 4, 5],
};

/** What must be there for a line, besides the program. */
function obstacle(line: string): string | undefined {
  const [, why] = NOT_RUN.find(([lines]) => lines.test(line)) ?? [];
  if (why !== undefined) return why;
  if (line.includes("--machine qemu")) return withoutQemu;
  if (line.startsWith("console attach")) return withoutTerminal;
  if (line.startsWith("net bridge") && Deno.uid() !== 0) return "only root makes interfaces";
  const tools = [...line.matchAll(/\| (\w+)/g)].map(([, tool]) => tool!);
  const missing = tools.find((tool) => tool !== "rngtest" && !findProgram(tool));
  return missing && `there is no ${missing}`;
}

/** The line with the devices of a simulated machine, and its own folder for what it would put into /tmp. */
function adapted(line: string, folder: string): string {
  const own = line.replaceAll("/tmp", folder).replaceAll(
    "tests/third",
    `${ROOT.pathname}tests/third`,
  );
  if (own.includes("machine.sock")) return beside(own, `${folder}/machine.sock`);
  if (own.includes("--machine") || HARMLESS.test(own)) return own;
  const end = own.search(/ [|<>] /);
  return end < 0
    ? `${own} --machine simulated`
    : `${own.slice(0, end)} --machine simulated${own.slice(end)}`;
}

/** A line that looks at the machine of another command, which runs meanwhile. */
function beside(line: string, socket: string): string {
  const other = `balloon watch --device 00:04.0 --machine simulated --control ${socket}`;
  const look = line.replace("00:01.0", "00:04.0");
  return `${other} >other 2>&1 & until [ -S ${socket} ]; do sleep 0.1; done; sleep 1
    virtio ${look}; code=$?; kill -INT $! 2>/dev/null; wait; exit $code`;
}

/** A folder with what the examples find there, and the program as `deno install` makes it. */
class Home implements Disposable {
  readonly path = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "virtio-examples-" }));

  constructor(line: string) {
    const write = (name: string, text: string | Uint8Array, mode = 0o644) => {
      Deno.mkdirSync(`${this.path}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
      const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
      Deno.writeFileSync(`${this.path}/${name}`, bytes, { mode });
    };
    // A module of the user's runs in the program, which must be let read it.
    const reads = /--class|--plugins|^conform driver/.test(line)
      ? ` --allow-read=${this.path},${ROOT.pathname}`
      : "";
    const program = `run --no-prompt --allow-ffi${reads} ${ROOT.pathname}main.ts`;
    write("bin/virtio", `#!/bin/sh\nexec "${Deno.execPath()}" ${program} "$@"\n`, 0o755);
    if (!findProgram("rngtest")) {
      write("bin/rngtest", "#!/bin/sh\nhead -c 2500000 | wc -c\n", 0o755);
    }
    for (const name of ["boot.img", "backup.img", "disk.img"]) write(name, new Uint8Array(1 << 20));
    for (const name of ["hello.txt", "file"]) write(name, "hello\n");
    if (line.startsWith("new ")) return;
    const files = driverFiles({
      name: "mine",
      bus: "virtio",
      class: "mine",
      root: ROOT,
      version: "0.1.0",
    });
    for (const [name, text] of Object.entries(files)) write(`mine/${name}`, text);
    write("models/slow.ts", files["model.ts"]!);
  }

  get environment(): Record<string, string> {
    return { PATH: `${this.path}/bin:${Deno.env.get("PATH")}`, NO_COLOR: "1" };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Runs a line. Returns what is wrong with how it ended. */
async function runLine(line: string): Promise<string | undefined> {
  using home = new Home(line);
  const whole = `virtio ${adapted(line, home.path)}`;
  if (line.startsWith("console attach")) return await attach(whole, home);
  // A user types it in a terminal, which sends Ctrl-C to all of it.
  const start = line.startsWith("net bridge") ? ["unshare", "--net", "sh"] : ["sh"];
  const child = new Deno.Command("setsid", {
    args: ["--wait", ...start, "-c", whole],
    cwd: home.path,
    env: home.environment,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let said = "";
  const hear = async (stream: ReadableStream<Uint8Array>) => {
    for await (const bytes of stream) said += new TextDecoder("latin1").decode(bytes);
  };
  const heard = Promise.all([hear(child.stdout), hear(child.stderr)]);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    signalSession(child.pid, "SIGKILL");
  }, PATIENCE);
  const endless = ENDLESS.test(line);
  if (endless) {
    const ended = child.status.then(() => true);
    await soon(() => said.length > 0, PATIENCE - 10_000);
    signalSession(child.pid, "SIGINT");
    await ended;
  }
  const { code } = await child.status;
  await heard;
  clearTimeout(timer);
  const wanted = LOOKS[line] ?? (endless ? [0, 130] : [0]);
  if (
    !late && wanted.includes(code) && (said.length > 0 || / > | blk (write|discard)/.test(whole))
  ) {
    return undefined;
  }
  return `${whole}\n${late ? "did not end" : `ended with ${code}`}: ${said.slice(-1000)}`;
}

/** Whatever runs in the session that setsid made: its leader is a child of setsid, or setsid itself. */
function signalSession(pid: number, signal: Deno.Signal): void {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      const [, parent, , session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const leader = session === name && parent === String(pid) ||
        name === String(pid) && session === name;
      if (leader) Deno.kill(-Number(name), signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** The one command that needs a person at a terminal: attaches, and leaves by its key. */
async function attach(whole: string, home: Home): Promise<string | undefined> {
  await using terminal = new OnTerminal(`env PATH=${home.path}/bin:$PATH ${whole}`);
  if (!await terminal.shows("Ctrl-] ends it")) return `${whole}: ${terminal.text}`;
  await terminal.type("\x1d");
  const code = await terminal.ended();
  return code === 0 ? undefined : `${whole}\nended with ${code}: ${terminal.text}`;
}

/** All examples; the program's own first. */
const LINES = [
  ...new Set([...EXAMPLES, ...COMMANDS.flatMap(({ examples }) => examples)].map(([line]) => line)),
];

for (const [machine, lines] of Object.entries(Object.groupBy(LINES, kindOf))) {
  Deno.test(`each example of help runs as a line of a shell: ${machine} #cli:help_examples`, async () => {
    const wrong: string[] = [];
    const waiting = lines!.values();
    const work = async () => {
      for (const line of waiting) {
        const why = obstacle(line);
        if (why !== undefined) console.log(`skipped: ${line}: ${why}`);
        else {
          const found = await runLine(line);
          if (found !== undefined) wrong.push(found);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    assert(wrong.length === 0, wrong.join("\n\n"));
  });
}

function kindOf(line: string): string {
  return line.includes("--machine qemu") ? "QEMU" : "simulated";
}
