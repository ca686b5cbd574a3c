/**
 * The commands about consoles, as a user starts them: on a simulated machine, on QEMU, and on a terminal.
 *
 * @module
 */

import { SCHEMA } from "../cli/json.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { findProgram } from "../core/linux/file.ts";
import { soon } from "./support/leaks.ts";
import { listening } from "./support/listening.ts";
import { pattern, qemuTest } from "./support/machine.ts";
import { testWith } from "./support/needs.ts";
import { differsAt } from "./support/qemu.ts";
import { patience } from "./support/patience.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const ECHO = "org.virtio.echo";
const MACHINE = ["--machine", "simulated"];

function command(...args: readonly string[]): string[] {
  return [Deno.execPath(), "run", "--no-prompt", "--allow-ffi", MAIN, ...args];
}

/** A program that runs, with its input open. */
class Running implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #read: Promise<unknown>;
  readonly #pieces: Uint8Array[] = [];
  err = "";

  constructor([program, ...args]: readonly string[]) {
    this.#child = new Deno.Command(program!, {
      signal: patience(),
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1", TERM: "dumb" },
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    const { stdout, stderr } = this.#child;
    this.#read = Promise.all([
      (async () => {
        for await (const piece of stdout) this.#pieces.push(piece);
      })(),
      (async () => {
        for await (const text of stderr.pipeThrough(new TextDecoderStream())) this.err += text;
      })(),
    ]);
  }

  get out(): Uint8Array {
    const all = new Uint8Array(this.#pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  get text(): string {
    return new TextDecoder().decode(this.out);
  }

  write(bytes: Uint8Array | string): Promise<void> {
    return this.#writer.write(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
  }

  end(): Promise<void> {
    return this.#writer.close();
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  async status(): Promise<number> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 60_000);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    await this.#read;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.status();
  }
}

async function run(args: readonly string[], input?: Uint8Array) {
  await using it = new Running(command(...args));
  if (input) await it.write(input);
  await it.end();
  const code = await it.status();
  return { code, out: it.out, text: it.text, err: it.err };
}

Deno.test("console list prints each port, for people and for programs", async () => {
  const { code, text } = await run(["console", "list", ...MACHINE]);
  assertEquals(code, 0);
  assertEquals(text, ` 0  console  open    80x25\n 1  port     open    -        ${ECHO}\n`);
  const json = JSON.parse((await run(["console", "list", "--json", ...MACHINE])).text);
  assertEquals(json.ports, [
    { id: 0, name: null, console: true, connected: true, size: { columns: 80, rows: 25 } },
    { id: 1, name: ECHO, console: false, connected: true, size: null },
  ]);
  assertEquals([json.schema, json.command, json.emergencyWrite], [SCHEMA, "console list", true]);
});

for (const isolation of ["process", "inline"]) {
  Deno.test(`console pipe is a filter: all of the input comes back, then it ends (${isolation})`, async () => {
    const input = pattern(300_000, 3);
    const { code, out, err } = await run([
      "console",
      "pipe",
      ECHO,
      "--isolation",
      isolation,
      ...MACHINE,
    ], input);
    assertEquals([code, err], [0, ""]);
    assertEquals(differsAt(out, input), -1);
  });
}

Deno.test("console pipe takes a port by its number, and an empty input", async () => {
  const { code, out } = await run(["console", "pipe", "1", "--linger", "0", ...MACHINE]);
  assertEquals([code, out.length], [0, 0]);
});

const WRONG: readonly (readonly [string, number, string])[] = [
  [
    "console pipe absent",
    3,
    `Cannot find a port named or numbered "absent": the device has 0, 1 (${ECHO})`,
  ],
  ["console pipe 7", 3, 'named or numbered "7"'],
  ["console pipe", 2, "Cannot run console pipe with 0 arguments: it takes <name or number>"],
  ["console pipe 1 --linger soon", 2, "Cannot use --linger soon: wanted seconds, 0 to 3600"],
  [
    "console attach 1",
    2,
    "Cannot attach what is no terminal: console pipe is for files, pipes and scripts",
  ],
  ["console list --device 00:01.0", 3, "no driver for a device of class console fits it"],
  ["console", 2, "What console takes is list, attach, pipe"],
];
for (const [line, exit, says] of WRONG) {
  Deno.test(`${line}: exit ${exit}`, async () => {
    const { code, out, err } = await run([...line.split(" "), ...MACHINE]);
    assertEquals([code, out.length], [exit, 0]);
    assertStringIncludes(err, says);
  });
}

Deno.test("console pipe ends in order when it is interrupted", async () => {
  await using it = new Running(command("console", "pipe", ECHO, ...MACHINE));
  await it.write("before");
  assert(await soon(() => it.text === "before"), it.err);
  it.kill("SIGINT");
  assertEquals(await it.status(), 130);
  assertMatch(it.err, /Ended by SIGINT/);
});

const script = findProgram("script");
testWith(
  script ? undefined : "there is no script(1) (package bsdutils)",
  "console attach sends keys as they come, Ctrl-C too, and Ctrl-] ends it and restores the terminal",
  async () => {
    const line = command("console", "attach", ECHO, ...MACHINE).join(" ");
    // script gives it a terminal; stty tells what is left of that.
    await using it = new Running([
      script!,
      "-qec",
      `stty -a; ${line}; echo exit $?; stty -a`,
      "/dev/null",
    ]);
    assert(await soon(() => it.text.includes("Ctrl-] ends it")), it.text);
    await it.write("abc\x03\x1b[A");
    // What comes back is what the port got: the terminal itself echoes nothing, and ^C means nothing.
    assert(await soon(() => it.text.includes("abc\x03\x1b[A")), JSON.stringify(it.text));
    assertEquals(it.text.split("abc").length, 2);
    await it.write("\x1d");
    assert(await soon(() => it.text.includes("exit 0")), JSON.stringify(it.text));
    await it.status();
    const [before, after] = it.text.split("\n").filter((text) => /(^| )-?isig /.test(text));
    assert(before && before === after, `${before} / ${after}`);
  },
);

qemuTest("console pipe: QEMU's socket on the other side, until that is closed", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-serial-" });
  const path = `${folder}/other`;
  try {
    await using it = new Running(command(
      ...["console", "pipe", "org.test", "--machine", "qemu", "--"],
      ...[
        "-device",
        "virtio-serial-pci",
        "-chardev",
        `socket,id=c,path=${path},server=on,wait=off`,
      ],
      ...["-device", "virtserialport,chardev=c,name=org.test"],
    ));
    await it.write("to the other side");
    assert(await soon(() => listening(path)), it.err);
    using other = await Deno.connect({ transport: "unix", path });
    const buffer = new Uint8Array(100);
    const count = await other.read(buffer);
    assertEquals(new TextDecoder().decode(buffer.subarray(0, count!)), "to the other side");
    await other.write(new TextEncoder().encode("and back"));
    assert(await soon(() => it.text === "and back"), it.text);
    other.close();
    assertEquals(await it.status(), 0);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

qemuTest("console list: ports of a QEMU, whose other sides are closed", async () => {
  const { code, text } = await run([
    ...["console", "list", "--machine", "qemu", "--", "-device", "virtio-serial-pci"],
    ...["-chardev", "null,id=a", "-device", "virtconsole,chardev=a"],
    ...["-chardev", "null,id=b", "-device", "virtserialport,chardev=b,name=org.test"],
  ]);
  assertEquals(code, 0);
  assertEquals(text, " 0  console  open    -\n 1  port     closed  -        org.test\n");
});
