/**
 * How the program ends when a person, a terminal or a service manager ends it: nothing is lost, nothing is left, and
 * the exit status says how it was.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { alive, soon } from "./support/leaks.ts";
import { pattern, withoutQemu } from "./support/machine.ts";
import { program, run, start } from "./support/program.ts";
import { CTRL_C, OnTerminal, withoutTerminal } from "./support/terminal.ts";

const SIMULATED = "--machine simulated";

function line(...args: readonly string[]): string {
  return program(...args.flatMap((words) => words.split(" "))).join(" ");
}

/** Declares a test on a terminal: ignored, and its name says why, where there is none. */
function terminalTest(name: string, fn: () => Promise<void>, without = withoutTerminal): void {
  Deno.test({ name: without ? `${name} (${without})` : name, ignore: !!without, fn });
}

const withoutBoth = withoutTerminal ?? withoutQemu;

/** A folder that goes away with the test. */
function folder(): Disposable & { readonly path: string } {
  const path = Deno.makeTempDirSync({ prefix: "virtio-end-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Ends a program by what `end` does, and holds its end against what it should be. */
async function endsBy(
  it: OnTerminal,
  end: () => Promise<void> | void,
  status: number,
): Promise<void> {
  const servants = it.servants;
  await end();
  assertEquals(await it.ended(), status, it.text);
  assert(!/is gone|lost what|be lost|error: (?!Ended by)/.test(it.text), it.text);
  for (const pid of servants) assert(await soon(() => !alive(pid)), `process ${pid} lives on`);
}

interface Standing {
  readonly command: string;
  /** Whether it is at work; else as soon as it has started its drivers. */
  readonly works?: RegExp;
}

/** Every command that goes on until it is ended, but for those that have tests of their own below. */
const STANDING: readonly Standing[] = [
  { command: "net dump", works: /./ },
  { command: "net ping 10.0.2.2 --count 60000 --interval 0.01", works: /icmp_seq=2 / },
  { command: "net bench --seconds 1", works: /\b64 {2,}\d/ },
  { command: "console pipe org.virtio.ring" },
  { command: "random --continuous > /dev/null" },
  { command: "balloon watch", works: /hypervisor wants/ },
];

for (const { command, works } of STANDING) {
  terminalTest(`${command}: Ctrl-C ends it in order, exit 130 #cli:ctrl_c`, async () => {
    const [words, output = ""] = command.split(" > ");
    await using it = new OnTerminal(
      `${line(words!, "--machine qemu")}${output && ` > ${output}`}`,
    );
    // A frame comes only if one is asked for; all the others say that they are at work.
    if (command === "net dump" || !works) {
      assert(await soon(() => it.servants.length >= 2, 60_000), it.text);
      await new Promise((resolve) => setTimeout(resolve, 1500));
    } else assert(await it.shows(works), it.text);
    await endsBy(it, () => it.type(CTRL_C), 130);
  }, withoutBoth);
}

/** A QEMU with a disk on a file of 16 MiB. */
function diskOn(file: string): string {
  return `--machine qemu -- -blockdev driver=file,filename=${file},node-name=n ` +
    "-device virtio-blk-pci,drive=n";
}

function makeDisk(path: string): string {
  const file = `${path}/disk.img`;
  Deno.writeFileSync(file, new Uint8Array(0));
  Deno.truncateSync(file, 16 << 20);
  return file;
}

/** The ways in which a served disk is ended: all of them reach what the program has started as well as the program. */
const WAYS: readonly (readonly [string, number, (it: OnTerminal) => Promise<void> | void])[] = [
  ["Ctrl-C", 130, (it) => it.type(CTRL_C)],
  ["SIGTERM to its process group", 143, (it) => Deno.kill(-it.pid!, "SIGTERM")],
  ["SIGTERM to each process, as a service manager sends it", 143, (it) => {
    for (const pid of [...it.servants, it.pid!]) Deno.kill(pid, "SIGTERM");
  }],
  ["SIGTERM twice, as timeout sends it", 143, (it) => {
    Deno.kill(it.pid!, "SIGTERM");
    Deno.kill(-it.pid!, "SIGTERM");
  }],
  ["SIGHUP", 129, (it) => Deno.kill(-it.pid!, "SIGHUP")],
];

for (const [way, status, end] of WAYS) {
  const tag = way === "SIGHUP" ? "#cli:sighup" : "#cli:ctrl_c";
  terminalTest(
    `blk serve ends in order by ${way}: all is written, and no socket left ${tag}`,
    async () => {
      using where = folder();
      const file = makeDisk(where.path);
      const socket = `${where.path}/socket`;
      const bytes = pattern(1 << 20, 9);
      await using it = new OnTerminal(line("blk serve --nbd", socket, diskOn(file)));
      assert(await it.shows("until Ctrl-C"), it.text);
      await using client = await NbdWriter.connect(socket);
      await client.write(4096, bytes);
      await endsBy(it, () => end(it), status);
      assertEquals(Deno.readFileSync(file).subarray(4096, 4096 + bytes.length), bytes);
      assertEquals([...Deno.readDirSync(where.path)].map(({ name }) => name), ["disk.img"]);
    },
    withoutBoth,
  );
}

/** Just enough of an NBD client to write, so that no tool is needed. */
class NbdWriter implements AsyncDisposable {
  readonly #socket: Deno.UnixConn;

  private constructor(socket: Deno.UnixConn) {
    this.#socket = socket;
  }

  static async connect(path: string): Promise<NbdWriter> {
    const client = new NbdWriter(await Deno.connect({ transport: "unix", path }));
    await client.#read(18);
    // NO_ZEROES and fixed newstyle; then EXPORT_NAME, empty.
    const hello = new Uint8Array(20);
    const view = new DataView(hello.buffer);
    view.setUint32(0, 3);
    hello.set(new TextEncoder().encode("IHAVEOPT"), 4);
    view.setUint32(12, 1);
    await client.#send(hello);
    await client.#read(10);
    return client;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const request = new Uint8Array(28 + bytes.length);
    const view = new DataView(request.buffer);
    view.setUint32(0, 0x25609513);
    view.setUint16(6, 1);
    view.setBigUint64(16, BigInt(offset));
    view.setUint32(24, bytes.length);
    request.set(bytes, 28);
    await this.#send(request);
    const reply = await this.#read(16);
    assertEquals(new DataView(reply.buffer).getUint32(4), 0, "the server reports an error");
  }

  async #send(bytes: Uint8Array): Promise<void> {
    while (bytes.length > 0) bytes = bytes.subarray(await this.#socket.write(bytes));
  }

  async #read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const got = await this.#socket.read(bytes.subarray(at));
      assert(got, "the server is gone");
      at += got;
    }
    return bytes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    return Promise.resolve();
  }
}

/** Why no tap can be made in a network of our own. */
async function withoutTap(): Promise<string | undefined> {
  try {
    const probe = await run("unshare", "--net", "ip", "tuntap", "add", "probe", "mode", "tap");
    return probe.code === 0 ? undefined : `no tap can be made: ${probe.err.trim()}`;
  } catch {
    return "there is no unshare (util-linux)";
  }
}

terminalTest("net bridge: Ctrl-C ends it in order, exit 130 #cli:ctrl_c", async () => {
  await using it = new OnTerminal(
    `unshare --net ${line("net bridge --tap card0 --machine qemu")}`,
  );
  assert(await it.shows("Passing frames"), it.text);
  await endsBy(it, () => it.type(CTRL_C), 130);
  assertMatch(it.text, /card0 to 0000:\S+: \d+ frames?, /);
}, withoutBoth ?? await withoutTap());

terminalTest(
  "console attach: Ctrl-C is the port's, SIGTERM ends it, and the terminal is as it was #cli:ctrl_c",
  async () => {
    await using it = new OnTerminal(
      `sh -c 'stty -a; trap "" TERM; ${
        line("console attach org.virtio.echo", SIMULATED)
      }; echo exit $?; stty -a'`,
    );
    assert(await it.shows("Ctrl-] ends it"), it.text);
    await it.type(`abc${CTRL_C}`);
    assert(await it.shows(`abc${CTRL_C}`), JSON.stringify(it.text));
    for (const pid of it.servants) Deno.kill(pid, "SIGTERM");
    assert(await it.shows("exit 143"), it.text);
    assertEquals(await it.ended(), 0);
    const [before, after] = it.text.split("\n").filter((text) => /(^| )-?isig /.test(text));
    assertEquals(after, before);
  },
);

terminalTest(
  "Ctrl-C twice ends the program at once, and it says so #cli:ctrl_c_twice",
  async () => {
    const stuck = import.meta.resolve("./support/never_opens.ts");
    await using it = new OnTerminal(`${Deno.execPath()} run -A ${stuck}`);
    assert(await it.shows("Opening machine"), it.text);
    await it.type(CTRL_C);
    assert(await it.shows("Still finishing what is under way"), it.text);
    await it.type(CTRL_C);
    assertEquals(await it.ended(), 130, it.text);
    assertStringIncludes(it.text, "Ended at once by another SIGINT");
  },
);

terminalTest(
  "a program that was stopped for a while goes on, and blames neither driver nor device #cli:stopped",
  async () => {
    using where = folder();
    const file = `${where.path}/bytes`;
    const size = () => {
      try {
        return Deno.statSync(file).size;
      } catch {
        return 0; // It is not there yet.
      }
    };
    await using it = new OnTerminal(`${line("random --continuous --machine qemu")} > ${file}`);
    assert(await soon(() => size() > 0, 60_000), it.text);
    Deno.kill(it.pid!, "SIGSTOP");
    // Longer than a driver may be silent.
    await new Promise((resolve) => setTimeout(resolve, 7000));
    const before = size();
    it.resume();
    assert(await soon(() => size() > before + 65_536), it.text);
    await endsBy(it, () => it.type(CTRL_C), 130);
    assert(!it.text.includes("starting anew"), it.text);
  },
  withoutBoth,
);

terminalTest(
  "blk copy ends by Ctrl-C while it compares #cli:copy_ends",
  async () => {
    using where = folder();
    const file = `${where.path}/copy`;
    const machine = "--machine qemu -- -device virtio-blk-pci,drive=n " +
      "-blockdev driver=null-co,size=100663296,read-zeroes=on,node-name=n";
    await using it = new OnTerminal(line("blk copy disk", file, machine));
    assert(await it.shows("Comparing"), "it does not compare");
    await endsBy(it, () => it.type(CTRL_C), 130);
    assert(!it.text.includes("read back and compared"), it.text);
  },
  withoutBoth,
);

Deno.test("a program that nohup has started outlives its terminal #cli:sighup", async () => {
  const command = program(..."random --continuous --machine simulated".split(" "));
  const child = start(["nohup", ...command]);
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGHUP");
  for (let bytes = 0; bytes < 1 << 20;) {
    const { value } = await reader.read();
    assert(value, "it has ended");
    bytes += value.length;
  }
  child.kill("SIGTERM");
  while (!(await reader.read()).done);
  await child.stderr.cancel();
  assertEquals((await child.status).code, 143);
});
