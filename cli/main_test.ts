import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { BLK, memoryDisk, RANDOM, runFake, type World } from "./fake_test.ts";
import { CliError, EXIT, type ExitCode } from "./exit.ts";
import "../tests/support/libc.ts";
import { COMMANDS, OWN_OPTIONS } from "./commands.ts";
import { SCHEMA } from "./json.ts";
import { parseOptions } from "./options.ts";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { ManifestError } from "../core/plugin/manifest.ts";

Deno.test("run --help prints examples first, then everything, and opens nothing", async () => {
  const { exit, out, calls } = await runFake("--help");
  assertEquals([exit, calls], [0, []]);
  assert(out.indexOf("Examples:") < out.indexOf("Usage:"));
  for (
    const word of ["ls", "show <address>", "check [address...]", "drivers", "explain <address>"]
  ) {
    assertStringIncludes(out, `\n  ${word}`);
  }
  assertStringIncludes(out, "--machine <local|qemu|simulated|vhost-user>");
  assertMatch(out, /\n {2}124 +not done in time/);
});

Deno.test("run <command> --help prints the command's help", async () => {
  for (const name of ["ls", "show", "check", "drivers", "explain"]) {
    const { exit, out, calls } = await runFake(`${name} --help`);
    assertEquals([exit, calls], [0, []]);
    assert(
      out.indexOf("Examples:\n  deno run --allow-ffi main.ts " + name) < out.indexOf("Usage:"),
      out,
    );
  }
});

Deno.test("run --version prints the version of deno.json", async () => {
  assertMatch((await runFake("--version")).out, /^virtio for Deno \d+\.\d+\.\d+/);
  assertEquals(Object.keys(JSON.parse((await runFake("-V --json")).out)), [
    "schema",
    "command",
    "version",
  ]);
});

/** The command lines that a help text gives as examples. */
function examples(help: string): string[] {
  const program = "  deno run --allow-ffi main.ts";
  return help.slice(help.indexOf("Examples:"), help.indexOf("\n\n", help.indexOf("Examples:")))
    .split("\n").filter((line) => line.startsWith(program))
    .map((line) => line.slice(program.length).split(/ {2,}/)[0]!.trim());
}

Deno.test("each example of each help text is a command of the program #cli:help_examples", async () => {
  const nouns = new Set(COMMANDS.map(({ name }) => name.split(" ")[0]!));
  const topics = ["", ...nouns, ...COMMANDS.map(({ name }) => name)];
  let count = 0;
  for (const topic of topics) {
    const { out } = await runFake(`${topic} --help`, { environment: { COLUMNS: "400" } });
    for (const line of examples(out)) {
      count++;
      assert(line.startsWith(topic), `${line} is no example of ${topic}`);
      // What a shell does with the rest is not ours.
      const own = line.split(/ [|<>] /)[0]!;
      const { exit, err } = await runFake(own, {
        input: { terminal: true, read: () => Promise.resolve(null), raw() {} },
        openKernel: () => Promise.reject(new Error("understood")),
        loadServing: () => Promise.reject(new Error("understood")),
        loadTesting: () => Promise.reject(new Error("understood")),
        loadWatch: () => Promise.reject(new Error("understood")),
        modules: { "mine/class.ts": { mine: { open: () => ({ client: {} }) } } },
      });
      // A file of that name need not be there.
      const understood = exit === 0 ||
        /understood|there is no such file|Cannot connect to/.test(err);
      assert(understood && exit !== 2, `${line}: ${exit} ${err}`);
    }
    assert(examples(out).length > 0, topic);
    assertEquals((await runFake(`help ${topic}`, { environment: { COLUMNS: "400" } })).out, out);
  }
  assert(count > 2 * COMMANDS.length);
});

Deno.test("help names no option that is not there, and all that are #cli:help_examples", async () => {
  for (const topic of ["", ...COMMANDS.map(({ name }) => name)]) {
    const { out } = await runFake(`${topic} --help`);
    const known = new Set([
      ...parseNames((await runFake("--help")).out),
      ...(COMMANDS.find(({ name }) => name === topic)?.options ?? []).map(({ name }) => name),
    ]);
    const others = COMMANDS.flatMap(({ options = [] }) => options).map(({ name }) => name);
    for (const name of parseNames(out)) {
      // The program's own examples have options of the commands.
      assert(known.has(name) || topic === "" && others.includes(name), `${topic}: --${name}`);
    }
  }
});

Deno.test("help has lines that fit, whatever the terminal, and loses no word #cli:width", async () => {
  const nouns = new Set(COMMANDS.map(({ name }) => name.split(" ")[0]!));
  for (const topic of ["", ...nouns, ...COMMANDS.map(({ name }) => name)]) {
    const words = (text: string) => text.split(/\s+/).filter((word) => word !== "\\").sort();
    const whole = (await runFake(`${topic} --help`, { environment: { COLUMNS: "1000" } })).out;
    for (const columns of [20, 40, 80, 120]) {
      for (const program of ["virtio", "deno run --allow-ffi main.ts"]) {
        const { out } = await runFake(`help ${topic}`, { terminal: true, columns, program });
        for (const line of out.split("\n")) {
          const words = line.replace(/ \\$/, "").trim().split(/ +/);
          // A word that is longer than a line has one for itself.
          const one = words.length === 1 && columns < 80;
          assert(line.length <= columns || one, `${columns} columns: ${line}`);
        }
        const lost = words(whole.replaceAll("deno run --allow-ffi main.ts", program));
        assertEquals(words(out), lost, topic);
      }
    }
  }
});

Deno.test("help is 80 columns wide where a program reads it, and COLUMNS says otherwise #cli:width", async () => {
  const widest = async (world: World) =>
    Math.max(...(await runFake("--help", world)).out.split("\n").map(({ length }) => length));
  assertEquals([await widest({}), await widest({ terminal: true, columns: 0 })], [80, 80]);
  const wide = { environment: { COLUMNS: "200" } };
  assert(await widest(wide) > 100);
  assert(await widest({ ...wide, terminal: true, columns: 40 }) > 100);
  for (const COLUMNS of ["", "-1", "wide", "0"]) {
    assertEquals(await widest({ environment: { COLUMNS } }), 80);
  }
});

/** Names of options in a text. */
function parseNames(text: string): string[] {
  return [...text.matchAll(/(?<![\w-])--([a-z][a-z\d-]+)/g)].map(([, name]) => name!);
}

/** What leads to each exit status. */
const STATUSES: Readonly<Record<number, readonly [line: string, world: World]>> = {
  0: ["ls", {}],
  1: ["check 00:02.0 --machine simulated", { disk: memoryDisk(1000) }],
  2: ["ls --json=no", {}],
  3: ["show 00:1f.0", {}],
  4: ["check 00:02.0", {}],
  5: ["ls", { openKernel: () => Promise.reject(new Deno.errors.NotCapable("--allow-ffi")) }],
  6: ["show 00:01.0 --machine simulated", { describe: named("DeviceFault") }],
  7: ["show 00:01.0 --machine simulated", { describe: named("DriverGone") }],
  124: ["show 00:01.0 --machine simulated --timeout 0.05", { attach: late }],
};

function named(name: string): Error {
  return Object.assign(new Error("x"), { name });
}

function late(): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error("late")), 200));
}

Deno.test("each exit status that help lists is one that the program ends with, and no other is #cli:exit_codes", async () => {
  const { out } = await runFake("--help");
  const listed = [...out.slice(out.indexOf("Exit status:")).matchAll(/^ {2}(\d+) /gm)]
    .map(([, status]) => Number(status));
  assertEquals(listed, Object.values(EXIT));
  for (const status of listed) {
    // From 128 on they are those of signals.
    const signal = AbortSignal.abort(new CliError(status as ExitCode, "Ended by a signal"));
    const [line, world] = status > 128 ? ["ls", { signal }] as const : STATUSES[status]!;
    assertEquals((await runFake(line, world)).exit, status, line);
  }
});

Deno.test("several devices that fit: the class that is meant first, and it is said which #cli:which_device", async () => {
  const scsi = { ...RANDOM.manifest, name: "scsi", class: "scsi" as const };
  const drivers = [{ ...RANDOM, manifest: scsi }, BLK];
  const { exit, out, err } = await runFake("blk info --machine simulated", { drivers });
  assertEquals(exit, 0, err);
  assertMatch(out, /^address +0000:00:02\.0\ndriver +blk$/m);
  assertEquals(err, "Using 0000:00:02.0 (blk), one of 2 that fit; --device names another");
  assertEquals((await runFake("blk info --machine simulated")).err, "");
});

/** A wrong command line and what is said about it. */
const WRONG: readonly [string, string][] = [
  ["chekc", 'Unknown command "chekc". Did you mean "check"? The commands are ls, show, check'],
  ["frobnicate", 'Unknown command "frobnicate". The commands are'],
  ["ls --machin qemu", 'Unknown option "--machin". Did you mean "--machine"?'],
  ["ls -x", 'Unknown option "-x".'],
  [
    "ls --machine qemo",
    'Unknown value "qemo" for --machine: wanted one of local, qemu, simulated, vhost-user. Did you',
  ],
  ["ls --machine", "Cannot use --machine without a value: wanted local, qemu, simulated"],
  ["ls --machine qemu --machine local", "Cannot use --machine 2 times"],
  [
    "ls --isolation thread",
    'Unknown value "thread" for --isolation: wanted one of process, inline',
  ],
  ["ls --plugins", "Cannot use --plugins without a value: wanted a folder"],
  ["ls --tune", "Cannot use --tune without a value: wanted for example vtnet.csum_disable=true"],
  ["ls --tune =1", "Cannot use --tune without a value"],
  ["ls --timeout soon", 'Unknown value "soon" for --timeout: wanted seconds'],
  ["ls --timeout 0", `Unknown value "0" for --timeout: wanted seconds, more than 0`],
  ["ls --quiet --verbose", "Cannot be quiet and verbose at once"],
  ["ls --write", "Cannot use --write here: it is for the command"],
  ["ls 00:03.0", "Cannot run ls with 1 argument: it takes no arguments"],
  [
    "show",
    "Cannot run show with 0 arguments: it takes <address>. deno run --allow-ffi main.ts help show has examples",
  ],
  ["explain 00:01.0 00:02.0", "Cannot run explain with 2 arguments"],
  ["show card", 'Cannot read "card" as a PCI address: it looks like 00:03.0'],
  ["check -- -smp 2", "Cannot use what follows --: it is for QEMU. Add --machine qemu"],
  ["check --machine local -- -smp 2", "Cannot use what follows --"],
  ["ls --board pc", "Cannot use --board: it is for QEMU. Add --machine qemu, or leave it out"],
  ["ls --machine qemu --board i440fx", 'Unknown value "i440fx" for --board: wanted one of q35, pc'],
  ["ls --interrupts nmi", 'Unknown value "nmi" for --interrupts: wanted one of msix, shared'],
];

Deno.test("no switch takes a value, whatever it is #cli:booleans", async () => {
  const switches = [
    ...["json", "legacy", "unsafe-dma", "help", "version", "quiet", "verbose", "no-color"],
    ...OWN_OPTIONS.filter(({ value }) => value === undefined).map(({ name }) => name),
  ];
  for (const name of switches) {
    for (const value of ["no", "yes", "true", "false", "0", ""]) {
      const { exit, err, calls } = await runFake(`ls --${name}=${value}`);
      assertEquals([exit, calls], [2, []]);
      assertEquals(
        err,
        `error: Cannot use "--${name}=${value}": --${name} is a switch and takes no value`,
      );
    }
  }
});

Deno.test("a word behind a switch is a word #cli:booleans", () => {
  for (const word of ["true", "false"]) {
    const { words, json, quiet } = parseOptions(["--json", word, "-q", word]);
    assertEquals([words, json, quiet], [[word, word], true, true]);
  }
  const { help, verbose, color, machineArguments } = parseOptions(
    ["--no-color", "-hv", "--machine", "qemu", "--", "--json=no", "-q"],
  );
  assertEquals([help, verbose, color, machineArguments], [true, true, false, ["--json=no", "-q"]]);
  assertEquals(parseOptions(["--no-promiscuous"], OWN_OPTIONS).given, { "no-promiscuous": true });
});

for (const [line, message] of WRONG) {
  Deno.test(`run ${line}: exit 2`, async () => {
    const { exit, out, err } = await runFake(line);
    assertEquals([exit, out], [2, ""]);
    assertStringIncludes(err, `error: ${message}`);
  });
}

Deno.test("run says which addresses there are if one is unknown, exit 3", async () => {
  for (const command of ["show", "explain", "check"]) {
    const { exit, out, err, calls } = await runFake(`${command} 00:09.0 --machine simulated`);
    assertEquals([exit, out], [3, ""]);
    assertStringIncludes(
      err,
      "Cannot find 0000:00:09.0 on the simulated machine (a made-up simulated): it has",
    );
    assertStringIncludes(err, "0000:00:00.0, 0000:00:01.0, 0000:00:02.0, 0000:00:03.0");
    assertEquals(calls.at(-1), "close kernel");
  }
});

Deno.test("run passes options on", async () => {
  const { exit, calls } = await runFake(
    "ls --plugins a --machine qemu --plugins=b -- -smp 2 --json",
  );
  assertEquals(exit, 0);
  assertEquals(calls, [
    'open qemu a b {"machine":"q35","arguments":["-smp","2","--json"]}',
    "close kernel",
  ]);
});

Deno.test("run passes on what is chosen for drivers, as switches, numbers and words", async () => {
  const { calls } = await runFake(
    "ls --machine simulated --tune a.b --tune a.c=false --tune a.d=-1 --tune a.e=x=1",
  );
  assertEquals(calls[0], 'open simulated {"a.b":true,"a.c":false,"a.d":-1,"a.e":"x=1"}');
});

Deno.test("drivers lists what may be chosen", async () => {
  const tunables = [{ name: "fast", usual: false }];
  const manifest = { ...RANDOM.manifest, tunables };
  const { out } = await runFake("drivers", { drivers: [{ ...RANDOM, manifest }] });
  assertStringIncludes(out, "  --tune random.fast=false  (true or false)");
});

Deno.test("run gives QEMU a device for each driver, and no file, if the user names none", async () => {
  const { calls } = await runFake("ls --machine qemu --board pc");
  const qemu = JSON.parse(calls[0]!.replace("open qemu ", ""));
  assertEquals([qemu.machine, qemu.disks, qemu.units], ["pc", [64 << 20], [64 << 20]]);
  for (const device of ["rng", "balloon", "serial", "net"]) {
    assert(qemu.arguments.some((word: string) => word.startsWith(`virtio-${device}-pci`)), device);
  }
});

Deno.test("run without a command checks a simulated machine where nothing may be driven, and says so", async () => {
  const { exit, out, err, calls } = await runFake("");
  assertEquals(exit, 0);
  assertEquals(calls.filter((call) => call.startsWith("open")), ["open local", "open simulated"]);
  assertEquals(
    err.split("\n")[0],
    "No device here may be driven: 2 would have a driver, ls and explain tell more. Starting the simulated machine instead",
  );
  assertStringIncludes(out, "00:02.0 blk    passed");
});

Deno.test("run without a command stays on this machine if something may be driven, and does not write", async () => {
  const disk = memoryDisk();
  const { exit, calls } = await runFake("", { refusal: "", disk });
  assertEquals(exit, 0);
  assertEquals(calls.filter((call) => call.startsWith("open")), ["open local"]);
  assertEquals([disk.writes, disk.flushes], [0, 0]);
});

Deno.test("run without a command, with a machine, stays there", async () => {
  const { exit, calls } = await runFake("--machine local");
  assertEquals(exit, 4);
  assertEquals(calls.filter((call) => call.startsWith("open")), ["open local"]);
});

Deno.test("run gives up after --timeout, exit 124, and closes what it opened", async () => {
  const { exit, err, calls } = await runFake("check 00:01.0 --machine qemu --timeout 0.05", {
    entropy: { read: () => new Promise(() => {}) },
  });
  assertEquals(exit, 124);
  assertStringIncludes(err, "error: Not done after 0.05 seconds");
  assertEquals(calls.at(-1), "close kernel");
});

Deno.test("run closes a kernel that opens after the time is over", async () => {
  const opening = Promise.withResolvers<never>();
  let closed = false;
  const late = { [Symbol.asyncDispose]: () => Promise.resolve(void (closed = true)) };
  const { exit } = await runFake("ls --timeout 0.01", {
    openKernel() {
      setTimeout(() => opening.resolve(late as never), 50);
      return opening.promise;
    },
  });
  assertEquals([exit, closed], [124, true]);
});

Deno.test("run ends with the reason's status when it is interrupted", async () => {
  const signal = AbortSignal.abort(new CliError(130, "Ended by SIGINT"));
  const { exit, err } = await runFake("ls", { signal });
  assertEquals([exit, err], [130, "error: Ended by SIGINT"]);
});

Deno.test("run maps errors of the core to exit statuses", async () => {
  const cases: [Error, number][] = [
    [new Error("x"), 1],
    [new ManifestError("x"), 2],
    [new Deno.errors.NotCapable("x"), 5],
    [Object.assign(new Error("x"), { code: "EACCES" }), 5],
    [Object.assign(new Error("x"), { code: "ENOENT" }), 1],
    [named("NoSuchFunction"), 3],
    [named("Refusal"), 4],
    [named("DeviceFault"), 6],
    [named("DriverGone"), 7],
    [new RequestError("Cannot", Status.failed), 1],
    [new RequestError("Cannot", Status.invalid), 6],
    [new RequestError("Cannot", Status.gone), 7],
    [named("TimeoutError"), 124],
  ];
  for (const [error, status] of cases) {
    const { exit, err } = await runFake("ls", { openKernel: () => Promise.reject(error) });
    assertEquals([exit, err], [status, `error: ${error.message}`]);
  }
});

Deno.test("run --verbose tells details and --quiet nothing", async () => {
  assertStringIncludes((await runFake("ls --verbose")).err, "the kernel is up");
  assertEquals((await runFake("check --quiet --machine simulated")).err, "");
});

Deno.test("random writes no bytes to a terminal, and says what prints them", async () => {
  for (const line of ["random 5", "random --continuous"]) {
    const { exit, out, err } = await runFake(`${line} --machine simulated`, { terminal: true });
    assertEquals([exit, out], [2, ""]);
    assertStringIncludes(err, "--hex");
  }
});

Deno.test("run uses colours only on a terminal, and only if the user does not object", async () => {
  const colours = async (line: string, environment = {}, terminal = true) =>
    (await runFake(`check --machine simulated ${line}`, { terminal, environment })).out.includes(
      "\x1b[",
    );
  assertEquals(await colours(""), true);
  assertEquals(await colours("", {}, false), false);
  assertEquals(await colours("--no-color"), false);
  assertEquals(await colours("", { NO_COLOR: "1" }), false);
  assertEquals(await colours("", { TERM: "dumb" }), false);
});

Deno.test("ls prints a line for each function: what drives it, and what it is", async () => {
  const { out } = await runFake("ls");
  assertEquals(out.split("\n"), [
    "address  numbers    driver    kernel      device",
    "00:00.0  8086:29c0  -         -           82G33/G31/P35/P31 Express DRAM Controller, Intel Corporation",
    "00:01.0  1af4:1044  (random)  virtio-pci  Virtio 1.0 RNG, Red Hat, Inc.",
    "00:02.0  1af4:1042  (blk)     virtio-pci  Virtio 1.0 block device, Red Hat, Inc.",
    "00:03.0  1af4:1041  -         virtio-pci  Virtio 1.0 network device, Red Hat, Inc.",
  ]);
});

Deno.test("ls --verbose prints lspci's line, and all that is known of each", async () => {
  const { out } = await runFake("ls --verbose");
  assertStringIncludes(
    out,
    `00:02.0 SCSI storage controller [0100]: Red Hat, Inc. Virtio 1.0 block device [1af4:1042] (rev 01)
  kernel: virtio-pci
  driver: blk (plugins/blk/plugin.json)
  not taken: the kernel driver virtio-pci drives it`,
  );
});

Deno.test("ls and check have one line a device, whatever the terminal #cli:width", async () => {
  for (const columns of [80, 60, 40, 20]) {
    const world = { terminal: true, columns, refusal: "", environment: { NO_COLOR: "1" } };
    const ls = (await runFake("ls", world)).out.split("\n");
    const check = (await runFake("check --machine simulated", world)).out.split("\n");
    assertEquals([ls.length, check.length], [5, 4]);
    for (const line of check) assert(line.length <= columns, line);
    // What tells one device from the other is never cut.
    for (const line of ls) assert(columns < 60 || line.length <= columns, line);
    assertMatch(ls[2]!, /^00:01.0 {2}1af4:1044 {2}random {2}virtio-pci/);
  }
});

Deno.test("check tells in full what went wrong, and details by --verbose #cli:width", async () => {
  const entropy = { read: (bytes: number) => Promise.resolve(new Uint8Array(bytes)) };
  const { out } = await runFake("check --machine simulated", {
    terminal: true,
    columns: 40,
    environment: { NO_COLOR: "1" },
    entropy,
  });
  const lines = out.split("\n");
  for (const line of lines) assert(line.length <= 40, line);
  const start = lines.findIndex((line) => line.startsWith("00:01.0"));
  const end = lines.findIndex((line, i) => i > start && !line.startsWith("    "));
  const told = lines.slice(start, end < 0 ? undefined : end).join(" ").replace(/ +/g, " ");
  assertMatch(told, /^00:01.0 random failed: alive: not all bytes .*MB\/s$/);
  const more = await runFake("check 00:02.0 --machine simulated -v");
  assertMatch(more.out, /^00:02.0 blk +passed: .*sha256 [\da-f]{64}\n {2}driver: process 1234\n/);
  assertMatch(more.out, /\n {2}ok: .*\n(.*\n)*? {2}sha256: [\da-f]{64}(\n|$)/);
});

Deno.test("check and its JSON tell how often a device was started anew #cli:restarts", async () => {
  const { out } = await runFake("check --machine simulated", { restarts: 2 });
  assertMatch(out, /blk +passed: .*; started anew 2 times$/m);
  const { devices } = JSON.parse(
    (await runFake("check --machine simulated --json", { restarts: 2 })).out,
  );
  assertEquals(
    devices.map(({ restarts }: { restarts: number | null }) => restarts),
    [null, 2, 2, null],
  );
});

Deno.test("ls shows IOMMU groups where there are any, and says what is unsafe", async () => {
  const { out } = await runFake("ls", {
    refusal: "",
    facts: [{}, { iommuGroup: 12, unsafeDma: "it has no IOMMU" }, { iommuGroup: 3 }],
  });
  assertEquals(out.split("\n").map((line) => line.replace(/^.{20}/, "").split(",")[0]), [
    "driver  kernel      group  device",
    "-       -           -      82G33/G31/P35/P31 Express DRAM Controller",
    "random  virtio-pci  12     UNSAFE DMA",
    "blk     virtio-pci  3      Virtio 1.0 block device",
    "-       virtio-pci  -      Virtio 1.0 network device",
  ]);
});

Deno.test("show tells group, NUMA node, and why DMA is unsafe", async () => {
  const facts = [{ iommuGroup: 12, numaNode: 1, unsafeDma: "it has no IOMMU" }];
  const { out } = await runFake("show 00:00.0", { facts });
  assertMatch(out, /^IOMMU group +12$/m);
  assertMatch(out, /^NUMA node +1$/m);
  assertMatch(out, /^UNSAFE DMA +it has no IOMMU$/m);
});

const DEVICE_KEYS = [
  "address",
  "vendor",
  "device",
  "subsystemVendor",
  "subsystem",
  "class",
  "revision",
  "names",
  "virtio",
  "kernelDriver",
  "iommuGroup",
  "numaNode",
  "unsafeDma",
  "noRoom",
  "refusal",
  "driver",
  "isolation",
  "pid",
  "restarts",
];

Deno.test("ls --json has stable keys", async () => {
  const json = JSON.parse((await runFake("ls --json --machine simulated")).out);
  assertEquals(Object.keys(json), ["schema", "command", "machine", "devices"]);
  assertEquals([json.schema, json.command], [SCHEMA, "ls"]);
  assertEquals(json.machine, { kind: "simulated", description: "a made-up simulated" });
  for (const device of json.devices) assertEquals(Object.keys(device), DEVICE_KEYS);
  assertEquals(json.devices[2], {
    address: "0000:00:02.0",
    vendor: "1af4",
    device: "1042",
    subsystemVendor: "1af4",
    subsystem: "1100",
    class: "010000",
    revision: "01",
    names: {
      vendor: "Red Hat, Inc.",
      device: "Virtio 1.0 block device",
      class: "SCSI storage controller",
    },
    virtio: { type: 2, name: "block", generation: "modern" },
    kernelDriver: null,
    iommuGroup: null,
    numaNode: null,
    noRoom: null,
    unsafeDma: null,
    refusal: null,
    driver: { name: "blk", class: "block", version: null, file: "plugins/blk/plugin.json" },
    isolation: null,
    pid: null,
    restarts: null,
  });
});

Deno.test("show looks at a device of this machine and does not take it", async () => {
  const { exit, out, calls } = await runFake("show 0:1.0", { refusal: "" });
  assertEquals(exit, 0);
  assertEquals(calls.filter((call) => call.startsWith("attach")), []);
  assertMatch(out, /virtio +entropy \(type 4\), modern/);
  assertMatch(out, /kernel driver +virtio-pci/);
});

Deno.test("show tells status, features and queues of a device of another machine", async () => {
  const { out, calls } = await runFake("show 00:01.0 --machine simulated");
  assertEquals(calls.slice(-2), ["detach 0000:00:01.0", "close kernel"]);
  assertMatch(out, /runs +process 1234/);
  assertMatch(out, /status +ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK/);
  assertMatch(out, /offers +0x130000021/);
  assertMatch(out, /accepted +0x100000001/);
  assertMatch(out, /feature 0 +VIRTIO_TEST_F_ONE\n/);
  assertMatch(out, /feature 5 +bit 5: unknown/);
  assertMatch(out, /interrupts +msix/);
  assertMatch(out, /queue 0 +requests, 8 entries, vector 1, 0 published/);
  const polled = await runFake("show 00:01.0 --machine simulated --interrupts polling");
  assertMatch(polled.out, /interrupts +polling\nqueue 0 +requests, 8 entries, no vector/);
});

Deno.test("show --json has stable keys", async () => {
  const json = JSON.parse((await runFake("show 00:01.0 --machine simulated --json")).out);
  assertEquals(Object.keys(json), [
    "schema",
    "command",
    "machine",
    "device",
    "capabilities",
    "capabilitiesFault",
    "structures",
    "work",
    "error",
  ]);
  assertEquals(Object.keys(json.device), DEVICE_KEYS);
  assertEquals([json.device.pid, json.work.features.accepted], [1234, "0x100000001"]);
  assertEquals(JSON.parse((await runFake("show 00:03.0 --json")).out).work, null);
});

Deno.test("show tells what is known of a device that does not work, and has the failure's status", async () => {
  const describe = Object.assign(new Error("it hangs"), { name: "DriverGone" });
  const { exit, out } = await runFake("show 00:01.0 --machine simulated", { describe });
  assertEquals(exit, 7);
  assertMatch(out, /virtio +entropy[^]*does not work +it hangs/);
  const json = JSON.parse(
    (await runFake("show 00:01.0 --machine simulated --json", { describe })).out,
  );
  assertEquals([json.work, json.error.exit, json.error.message], [null, 7, "it hangs"]);
});

Deno.test("drivers lists the manifests without opening a machine", async () => {
  const { out, calls } = await runFake("drivers --plugins x");
  assertEquals(calls, ["load x"]);
  assertStringIncludes(
    out,
    "random (entropy)\n  for vendor 1af4, device 1044\n  for vendor 1af4, device 1005\n",
  );
  const json = JSON.parse((await runFake("drivers --json", { drivers: [RANDOM] })).out);
  assertEquals(Object.keys(json), ["schema", "command", "drivers", "walls"]);
  assertEquals(Object.keys(json.drivers[0]), [
    "name",
    "class",
    "version",
    "file",
    "description",
    "entry",
    "match",
    "limits",
    "tunables",
  ]);
});

Deno.test("explain tells every rule and why it does not fit", async () => {
  const net = await runFake("explain 00:03.0");
  assertEquals(net.exit, 0);
  assertEquals(net.out.split("\n").slice(1), [
    "VirtIO network device (type 1), modern",
    "  random: vendor 1af4, device 1044: no, device is 1041",
    "  random: vendor 1af4, device 1005: no, device is 1041",
    "  blk: vendor 1af4, device 1042: no, device is 1041",
    "  blk: vendor 1af4, device 1001: no, device is 1041",
    "No driver: none of 4 rules fits",
  ]);
  const held = await runFake("explain 00:01.0");
  assertStringIncludes(held.out, "random: vendor 1af4, device 1044: fits");
  assertStringIncludes(
    held.out,
    "random fits, but may not have it: the kernel driver virtio-pci drives it",
  );
  const json = JSON.parse((await runFake("explain 00:01.0 --machine qemu --json")).out);
  assertEquals(Object.keys(json), ["schema", "command", "machine", "device", "rules", "verdict"]);
  assertEquals(json.verdict, "random drives it");
  assertEquals(json.rules[1], {
    driver: {
      name: "random",
      class: "entropy",
      version: null,
      file: "plugins/random/plugin.json",
    },
    match: { vendor: "1af4", device: "1005" },
    fits: false,
    mismatch: { field: "device", wanted: "1005", found: "1044" },
  });
});

Deno.test("check puts every device with a driver to work, one line each", async () => {
  const { exit, out, err } = await runFake("check --machine simulated --isolation inline");
  assertEquals(exit, 0);
  const lines = out.split("\n");
  assertEquals(lines.length, 4);
  lines.sort();
  assertEquals(lines[0], "00:00.0 -      no driver: not VirtIO");
  assertMatch(
    lines[1]!,
    /^00:01.0 random passed: 2 reads, 8192 bytes, [\d.]+ MB\/s$/,
  );
  assertMatch(
    lines[2]!,
    /^00:02.0 blk +passed: "disk-1", 8388608 bytes, written and read: /,
  );
  assertMatch(lines[2]!, /offset 4194304 length 2097152 sha256 [0-9a-f]{64}$/);
  assertEquals(lines[3], "00:03.0 -      no driver: VirtIO network");
  assertStringIncludes(err, "All 2 devices passed");
});

Deno.test("check --json has stable keys, and the truth about what was written", async () => {
  const disk = memoryDisk();
  const { exit, out } = await runFake("check --machine qemu --json", { disk });
  assertEquals(exit, 0);
  const json = JSON.parse(out);
  assertEquals(Object.keys(json), ["schema", "command", "machine", "passed", "devices"]);
  assertEquals(json.passed, true);
  for (const device of json.devices) {
    assertEquals(Object.keys(device), [
      ...DEVICE_KEYS,
      "outcome",
      "findings",
      "figures",
      "error",
    ]);
  }
  assertEquals(json.devices.map((device: { outcome: string }) => device.outcome), [
    "no driver",
    "passed",
    "passed",
    "no driver",
  ]);
  const { offset, length, sha256, nonce } = json.devices[2].figures;
  const region = disk.bytes.subarray(offset, offset + length);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", region)).toHex();
  assertEquals(hash, sha256);
  assertStringIncludes(
    new TextDecoder().decode(region.subarray(0, 64)),
    `check ${nonce} at ${offset}\n`,
  );
});

Deno.test("check checks the named devices only, each once", async () => {
  const { exit, out, calls } = await runFake("check 00:02.0 0000:00:02.0 --machine simulated");
  assertEquals([exit, out.split("\n").length], [0, 1]);
  assertEquals(calls.slice(1), ["attach 0000:00:02.0", "detach 0000:00:02.0", "close kernel"]);
});

Deno.test("check never writes to a disk of this machine unless told to", async () => {
  const kept = memoryDisk(), written = memoryDisk();
  assertEquals((await runFake("check", { refusal: "", disk: kept })).exit, 0);
  assertEquals(kept.writes, 0);
  assertEquals((await runFake("check --write", { refusal: "", disk: written })).exit, 0);
  assert(written.writes > 0);
});

Deno.test("check of devices that are all refused: exit 4, and what to do instead", async () => {
  for (const line of ["check", "check 00:01.0"]) {
    const { exit, out, err, calls } = await runFake(line);
    assertEquals(exit, 4);
    assertStringIncludes(
      out,
      "00:01.0 random refused: the kernel driver virtio-pci drives it",
    );
    assertStringIncludes(err, "To see a driver work: --machine simulated");
    assertEquals(calls.filter((call) => call.startsWith("attach")), []);
  }
});

Deno.test("check without any device of ours: exit 3; of one without a driver: exit 0", async () => {
  assertEquals((await runFake("check", { drivers: [] })).exit, 3);
  assertEquals((await runFake("check 00:03.0 --machine simulated")).exit, 0);
});

/** A disk of which nothing is heard any more once it is read. */
Deno.test("check is over with a device that does not answer, and with the others before #cli:check_each_device", async () => {
  const { exit, out, err, calls } = await runFake("check --machine simulated --patience 3", {
    entropy: { read: () => new Promise(() => {}) },
  });
  assertEquals(exit, 124);
  assertMatch(out, /^00:02.0 blk +passed/m);
  assertStringIncludes(
    out,
    "00:01.0 random late: after 3 s it was still reading 8192 random bytes, 0 came; " +
      "--patience allows more",
  );
  assertStringIncludes(err, "1 of 2 devices passed; not passed: 0000:00:01.0 random (late)");
  assertEquals(calls.at(-1), "close kernel");
});

Deno.test("check puts devices to work side by side #cli:check_each_device", async () => {
  const first = Promise.withResolvers<void>(), second = Promise.withResolvers<void>();
  // One after the other, each would wait for ever for the other.
  const { exit } = await runFake("check --machine simulated --patience 60", {
    entropy: {
      async read(bytes) {
        first.resolve();
        await second.promise;
        return crypto.getRandomValues(new Uint8Array(bytes));
      },
    },
    disk: {
      ...memoryDisk(),
      async id() {
        second.resolve();
        await first.promise;
        return "disk-1";
      },
    },
  });
  assertEquals(exit, 0);
});

Deno.test("check that is ended tells what is known, as JSON too #cli:check_each_device", async () => {
  for (const json of ["", " --json"]) {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const { exit, out, err } = await runFake(`check --machine simulated${json}`, {
      signal: end.signal,
      disk: {
        ...memoryDisk(),
        read() {
          timer ??= setTimeout(() => end.abort(new CliError(130, "Ended by SIGINT")), 200);
          return new Promise(() => {});
        },
      },
    });
    assertEquals(exit, 130);
    assertStringIncludes(err, "not passed: 0000:00:02.0 blk (not done)\nerror: Ended by SIGINT");
    if (json !== "") {
      const { passed, devices } = JSON.parse(out);
      assertEquals([passed, devices.map(({ outcome }: { outcome: string }) => outcome)], [
        false,
        ["no driver", "passed", "not done", "no driver"],
      ]);
      assertEquals(devices[2].error.exit, 130);
    } else {
      assertMatch(out, /random passed/);
      assertMatch(out, /00:02.0 blk +not done: writing a pattern and .*; Ended by SIGINT$/);
    }
  }
});

Deno.test("check checks no device that was not begun when it was ended", async () => {
  const end = new AbortController();
  const { out, calls } = await runFake("check --machine simulated", {
    signal: end.signal,
    attach: () =>
      new Promise((_, reject) => {
        setTimeout(() => end.abort(), 50);
        setTimeout(() => reject(new Error("x")), 100);
      }),
  });
  assertEquals(calls.filter((call) => call.startsWith("attach")).length, 2);
  assertMatch(out, /random not done: starting/);
});

Deno.test("check does not pass a device with nothing to check #cli:check_nothing", async () => {
  const disk = memoryDisk(0);
  const all = await runFake("check --machine simulated", { disk });
  assertEquals(all.exit, 0);
  assertMatch(all.out, /blk +nothing to check: nothing is on it: 0 bytes$/m);
  assertStringIncludes(
    all.err,
    "1 of 2 devices passed; not passed: 0000:00:02.0 blk (nothing to check)",
  );
  const named = await runFake("check 00:02.0 --machine simulated --json", { disk });
  assertEquals([named.exit, JSON.parse(named.out).passed], [1, false]);
  assertEquals((await runFake("check --machine simulated", { disk, drivers: [BLK] })).exit, 1);
});

Deno.test("check --help names a device of each class #cli:help_examples", async () => {
  const { out } = await runFake("check --help");
  for (
    const word of ["network card", "disk", "console", "entropy source", "balloon", "SCSI adapter"]
  ) assertStringIncludes(out, word);
});

Deno.test("check goes on after a device that failed, and fails", async () => {
  const entropy = { read: (bytes: number) => Promise.resolve(new Uint8Array(bytes)) };
  const { exit, out, err } = await runFake("check --machine simulated", { entropy });
  assertEquals(exit, 1);
  assertMatch(out, /random failed: alive: not all bytes/);
  assertMatch(out, /blk +passed/);
  assertStringIncludes(err, "1 of 2 devices passed; not passed: 0000:00:01.0 random (failed)");
});

Deno.test("check tells why the driver is gone that left a request unfinished", async () => {
  const entropy = { read: () => Promise.reject(new RequestError("Cannot read", Status.gone)) };
  const gone = "its process ended by signal 9";
  const { exit, out } = await runFake("check --machine simulated", { entropy, gone });
  assertEquals(exit, 7);
  assertMatch(out, /random failed: Cannot read: .*: its process ended by signal 9/);
});

Deno.test("check of a device whose driver fails has the status of that failure", async () => {
  const error = Object.assign(new Error("the driver's process ended"), { name: "DriverGone" });
  const entropy = { read: () => Promise.reject(error) };
  const { exit, out } = await runFake("check --machine simulated", { entropy });
  assertEquals(exit, 7);
  assertStringIncludes(out, "00:01.0 random failed: the driver's process ended");
  const json = JSON.parse((await runFake("check --machine simulated --json", { entropy })).out);
  assertEquals(json.passed, false);
  const { exit: status, message } = json.devices[1].error;
  assertEquals([status, message], [7, "the driver's process ended"]);
});
