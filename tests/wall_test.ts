/**
 * The walls around a driver's process, attacked from inside: P-cases of hostile drivers, each with the doors that were
 * found open once and their like.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DriverGone } from "../core/kernel/conversation.ts";
import { openKernel } from "../mod.ts";
import { attempt, type Attempts, type Outcomes } from "./support/attempt.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { qemuTest, simulatedMachine } from "./support/machine.ts";
import { entropyDriver, fixture, type FixtureOptions } from "./support/plugin.ts";

const CORE = import.meta.resolve("../core/");

/** None of the attempts came to anything. */
function assertStopped(outcomes: Outcomes): void {
  assertEquals(Object.entries(outcomes).filter(([, said]) => said.startsWith("did it")), []);
}

/** What the core says of a plugin that cannot be attached. */
async function refused(module: string, options: FixtureOptions = {}): Promise<string> {
  using plugin = fixture(module, options);
  await using kernel = await openKernel({
    machine: "simulated",
    plugins: [plugin.folder],
    restarts: 0,
  });
  return (await assertRejects(() => kernel.attachFirst("entropy"), DriverGone)).message;
}

Deno.test("wall: nothing beside a plugin configures its process #core:configured_by_itself", async () => {
  // Stands in for the core's own confine.ts, and would run while the process still has all its rights.
  const evil =
    `export function confine() { globalThis.stolen = Deno.readTextFileSync("/etc/hostname"); }
    export function enclose() {}`;
  const imports = {
    "@virtio/deno/plugin": "./evil.ts",
    [`${CORE}linux/confine.ts`]: "./evil.ts",
    [`${CORE}`]: "./",
  };
  const config = JSON.stringify({
    imports,
    scopes: { [CORE]: imports },
    unstable: ["kv", "ffi", "net", "worker-options"],
    workspace: ["."],
    links: ["."],
    nodeModulesDir: "manual",
  });
  for (const deno of [config, "{ is no JSON"]) {
    const outcomes = await attempt(
      { stolen: "stolen", kv: "Deno.openKv(':memory:')", quic: "Deno.QuicEndpoint.name" },
      {
        files: {
          "deno.json": deno,
          "deno.lock": "{ is no JSON",
          "package.json": `{"imports": {"#x": "./evil.ts"}, "type": "commonjs"`,
          ".npmrc": "registry=http://unreachable.invalid/",
          ".env": "DENO_V8_FLAGS=--nonsense",
          "evil.ts": evil,
          "confine.ts": evil,
        },
      },
    );
    assertStopped(outcomes);
    assertMatch(outcomes.stolen!, /stolen is not defined/);
    assertMatch(outcomes.kv!, /openKv is not a function/);
  }
});

Deno.test("wall: a plugin imports nothing from outside of its folder, as whatever, by whatever way #core:P-02 #core:loading", async () => {
  const secret = await Deno.makeTempFile({ prefix: "virtio-secret-", suffix: ".json" });
  try {
    await Deno.writeTextFile(secret, `"secret"`);
    const url = `file://${secret}`;
    for (
      const [specifier, type] of [
        [url, "text"],
        [url, "json"],
        [`../${secret.split("/").pop()}`, "text"],
        ["file:///proc/self/environ", "text"],
      ]
    ) {
      using plugin = fixture(entropyDriver({
        load: `import found from "${specifier}" with { type: "${type}" };`,
        plan: "return { decline: 'did it: ' + found };",
      }));
      await using kernel = await openKernel({
        machine: "simulated",
        plugins: [plugin.folder],
        restarts: 0,
      });
      const { message } = await assertRejects(() => kernel.attachFirst("entropy"), DriverGone);
      assertMatch(
        message,
        /Cannot load the driver: it imports \/.*, which is outside of its folder \(.*mod\.ts:3:\d+\)$/,
        `${specifier} as ${type}`,
      );
    }
  } finally {
    await Deno.remove(secret);
  }
});

Deno.test("wall: a folder with a link that leads out of it is not loaded, one with a link inside is #core:loading", async () => {
  const secret = await Deno.makeTempFile({ prefix: "virtio-secret-", suffix: ".json" });
  try {
    await Deno.writeTextFile(secret, `"secret"`);
    for (
      const [target, wanted] of [[secret, /link\.json is a link that leads out of its folder/], [
        "own.json",
        /declines: did it: own/,
      ], ["nothing.json", /link\.json is a link/]] as const
    ) {
      using plugin = fixture(
        entropyDriver({
          load: `import found from "./data/link.json" with { type: "json" };`,
          plan: "return { decline: 'did it: ' + found };",
        }),
        { files: { "data/own.json": `"own"` } },
      );
      Deno.symlinkSync(target, `${plugin.folder}/data/link.json`);
      await using kernel = await openKernel({
        machine: "simulated",
        plugins: [plugin.folder],
        restarts: 0,
      });
      const { message } = await assertRejects(() => kernel.attachFirst("entropy"), DriverGone);
      assertMatch(message, wanted);
    }
  } finally {
    await Deno.remove(secret);
  }
});

Deno.test("wall: a plugin loads files of its own, in folders below its own #core:loading", async () => {
  const said = await refused(
    entropyDriver({
      load: `import text from "./data/a b.txt" with { type: "text" };
import json from "./data/x.json" with { type: "json" };
import { more } from "./data/more.ts";`,
      plan: "return { decline: [text, json.x, more].join() };",
    }),
    {
      manifest: { entry: "./mod.ts" },
      files: {
        "data/a b.txt": "text",
        "data/x.json": `{"x": 7}`,
        "data/more.ts": `import { up } from "../up.ts"; export const more: string = up;`,
        "up.ts": `export const up: string = "up";`,
      },
    },
  );
  assertEquals(said, "The driver declines: text,7,up");
});

Deno.test("wall: a plugin whose entry is in a folder below reads beside that too #core:loading", async () => {
  const said = await refused("", {
    manifest: { entry: "./src/mod.ts" },
    files: {
      "src/mod.ts": entropyDriver({
        load: `import text from "../text.txt" with { type: "text" };`,
        plan: "return { decline: text };",
      }),
      "text.txt": "beside plugin.json",
    },
  });
  assertEquals(said, "The driver declines: beside plugin.json");
});

Deno.test("wall: what is wrong in a plugin's own modules is said with its place #core:loading", async () => {
  for (
    const [files, wanted] of [
      [{ "a.ts": "const x = ;" }, /a\.ts:1:11/],
      [{ "a.ts": `import "./nothing.ts";` }, /Module not found.*nothing\.ts/],
      [{ "a.ts": `import "@std/assert";` }, /"@std\/assert" not a dependency/],
      [{ "a.ts": `import x from "./x" with { type: "bytes" };`, x: "" }, /"bytes" is unsupported/],
      [{ "a.ts": `import "jsr:@std/assert@1";` }, /--no-remote/],
      [{ "a.ts": `throw new Error("thrown by a");` }, /Error: thrown by a/],
    ] as const
  ) {
    assertMatch(await refused(entropyDriver({ load: `import "./a.ts";` }), { files }), wanted);
  }
});

/** Doors that Deno's permissions do not guard, or that a fault in them would open. */
const DOORS: Attempts = {
  "opens a thread": `new Promise((ok, no) => {
    const worker = new Worker("data:text/javascript,postMessage(1)", { type: "module" });
    worker.onmessage = ok;
    worker.onerror = (event) => { event.preventDefault(); no(new Error(event.message)); };
  })`,
  "P-20 localStorage": `(localStorage.setItem("a", "b"), localStorage.getItem("a"))`,
  "P-20 caches": `caches.open("a")`,
  "P-20 node:sqlite":
    `import("node:sqlite").then(({ DatabaseSync }) => new DatabaseSync("/tmp/virtio.db"))`,
  "the GPU": `navigator.gpu.requestAdapter().then((found) => {
    if (!found) throw new Error("there is none");
    return found;
  })`,
  "the inspector": `import("node:inspector").then(({ default: { open } }) => open(0))`,
  "P-14 a signal to itself":
    `import("node:process").then(({ default: { kill, pid } }) => kill(pid, "SIGUSR1"))`,
  "a signal to the core":
    `import("node:process").then(({ default: { kill, ppid } }) => kill(ppid, 0))`,
  "names of its machine": `import("node:os").then(({ hostname }) => hostname())`,
  "a socket pair by node:net": `import("node:net").then(({ default: net }) =>
    new Promise((ok, no) => net.createServer().on("error", no).listen(0, () => ok())))`,
  "a datagram":
    `import("node:dgram").then(({ default: { createSocket } }) => new Promise((ok, no) =>
    createSocket("udp4").on("error", no).bind(0, () => ok())))`,
};

Deno.test("wall: what Deno's permissions do not guard is shut by the filter #core:P-14 #core:P-19 #core:P-20 #core:filter", async () => {
  for (const [name, text] of Object.entries(DOORS)) {
    let outcomes: Outcomes;
    try {
      outcomes = await attempt({ [name]: text });
    } catch (error) {
      // It ended for trying.
      assertMatch((error as Error).message, /its process ended|hello/, name);
      continue;
    }
    assertStopped(outcomes);
    assertMatch(
      outcomes[name]!,
      /Operation not permitted|EPERM|NotCapable|Requires|Failed to create|there is none|PermissionDenied|unable to open/,
      name,
    );
  }
});

Deno.test("wall: a driver's process is no root, has no groups and no rights, and a filter on each thread #core:walls", async () => {
  await using kernel = await openKernel(simulatedMachine().options);
  await using device = await kernel.attachFirst("entropy");
  await device.client.read(16);
  const threads = [...Deno.readDirSync(`/proc/${device.pid}/task`)].map(({ name }) => name);
  assert(threads.length > 1);
  for (const thread of threads) {
    const status = await Deno.readTextFile(`/proc/${device.pid}/task/${thread}/status`);
    const field = (name: string) =>
      status.match(new RegExp(`^${name}:[ \\t]*(.*)$`, "m"))![1]!.trim();
    const id = Deno.uid() === 0 ? 65534 : Deno.uid();
    assertEquals(field("Uid").split("\t").map(Number), [id, id, id, id]);
    assertEquals(field("CapEff"), "0000000000000000");
    if (Deno.uid() === 0) assertEquals(field("Groups"), "");
    assertEquals([field("NoNewPrivs"), field("Seccomp")], ["1", "2"]);
    // SIGUSR1 is the tenth.
    assert(BigInt(`0x${field("SigBlk")}`) >> 9n & 1n);
  }
  const limits = await Deno.readTextFile(`/proc/${device.pid}/limits`);
  for (const name of ["Max file size", "Max processes", "Max core file size"]) {
    assertMatch(limits, new RegExp(`^${name}\\s+0\\s+0\\s`, "m"));
  }
  const open = [...Deno.readDirSync(`/proc/${device.pid}/fd`)].map(({ name }) =>
    Deno.readLinkSync(`/proc/${device.pid}/fd/${name}`)
  );
  assertEquals(open.filter((what) => what.startsWith("/") && what !== "/dev/null"), []);
});

/** Takes descriptors by their numbers, in each way that node offers. */
const BY_NUMBER = `(async () => {
  const { default: net } = await import("node:net");
  const { default: fs } = await import("node:fs");
  const { default: tty } = await import("node:tty");
  const found = [];
  for (let fd = 5; fd < 9; fd++) {
    for (const how of [
      () => new net.Socket({ fd, readable: true, writable: true }),
      () => new tty.ReadStream(fd),
    ]) {
      try {
        const socket = how();
        socket.on("error", () => {}).on("data", (data) => found.push(fd + ":" + data));
        socket.write?.("read 0x0 0x4\\n");
      } catch { /* no socket */ }
    }
    try { found.push(fd + " read " + fs.readSync(fd, new Uint8Array(8))); } catch { /* refused */ }
    try { found.push(fd + " written " + fs.writeSync(fd, new Uint8Array(8))); } catch { /* refused */ }
    try { fs.closeSync(fd); found.push(fd + " closed"); } catch { /* refused */ }
  }
  await wait(300);
  if (found.length === 0) throw new Error("nothing");
  return found.join();
})()`;

/** It got nothing, or ended for trying. */
async function assertNothingByNumber(machine: Parameters<typeof openKernel>[0]): Promise<void> {
  try {
    const outcomes = await attempt({ byNumber: BY_NUMBER }, {
      ...(machine && { machine }),
      head: `addEventListener("error", (event) => event.preventDefault());
addEventListener("unhandledrejection", (event) => event.preventDefault());`,
    });
    assertEquals(outcomes, { byNumber: "Error: nothing" });
  } catch (error) {
    assertMatch((error as Error).message, /its process ended/);
  }
}

Deno.test("wall: a granted descriptor is of no use by its number #core:P-03 #core:pass", () =>
  assertNothingByNumber({ machine: "simulated" }));

qemuTest(
  "wall: QEMU's control socket is of no use by its number #core:P-03 #core:pass",
  () =>
    assertNothingByNumber({
      machine: "qemu",
      qemu: { arguments: ["-device", "virtio-rng-pci,disable-legacy=on"] },
    }),
);

Deno.test("wall: two drivers share no storage and no channel #core:P-18 #core:no_shared_storage", async () => {
  const ask = (mine: string) =>
    attempt({
      storage: `(localStorage.setItem("${mine}", "1"), Object.keys(localStorage))`,
      session: `(sessionStorage.setItem("${mine}", "1"), Object.keys(sessionStorage))`,
      caches:
        `caches.open("shared").then((cache) => cache.put("http://x.invalid/", new Response("${mine}")))`,
      channel: `new Promise((ok, no) => {
        const channel = new BroadcastChannel("shared");
        channel.onmessage = ({ data }) => ok(data);
        setTimeout(() => { channel.close(); no(new Error("heard nothing")); }, 600);
        channel.postMessage("${mine}");
      })`,
    });
  const both = await Promise.all([ask("one"), ask("two")]);
  for (const [i, { storage, session, caches, channel }] of both.entries()) {
    assertMatch(storage!, /not permitted|PermissionDenied/);
    assertMatch(caches!, /Failed to create|not permitted/);
    assertEquals(channel, "Error: heard nothing");
    // Storage of the process alone.
    assertEquals(session, `did it: ${["one", "two"][i]}`);
  }
});

Deno.test("wall: V8's flags are a driver's own #core:P-17", async () => {
  const outcomes = await attempt({
    flags: `import("node:v8").then(({ default: v8 }) => {
      for (const flag of ["--allow-natives-syntax", "--expose-gc", "--stack-size=100"]) v8.setFlagsFromString(flag);
      return Deno.readTextFileSync("/etc/hostname");
    })`,
  });
  assertStopped(outcomes);
  assertEquals(typeof (globalThis as { gc?: unknown }).gc, "undefined");
});

Deno.test("wall: Deno's internals open nothing #core:P-22", async () => {
  const outcomes = await attempt({
    file: `(() => {
      const { core } = Deno[Deno.internal];
      for (const [name, op] of Object.entries(core.ops)) {
        if (!/open_sync|read_file_text_sync|read_file_sync|ffi_load|spawn_sync/.test(name)) continue;
        try { return name + op("/etc/hostname", undefined); } catch { /* refused */ }
      }
      throw new Error("nothing");
    })()`,
  });
  assertStopped(outcomes);
});

Deno.test("wall: a driver that catches signals is ended all the same #core:P-14", async () => {
  using plugin = fixture(entropyDriver({
    load: `for (const name of ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2"]) {
  Deno.addSignalListener(name, () => {});
}`,
    rung: "for (;;);",
  }));
  const kernel = await openKernel({ machine: "simulated", plugins: [plugin.folder], restarts: 0 });
  const { pid } = await kernel.attachFirst("entropy");
  await kernel[Symbol.asyncDispose]();
  const there = () => {
    try {
      Deno.statSync(`/proc/${pid}`);
      return true;
    } catch {
      return false;
    }
  };
  assert(await soon(() => !there()));
});

/** Replaces what the core's code in the process calls, when all of it has been loaded. */
const POLLUTION = `
const stolen = [];
const steal = (prototype, name) => {
  const { value, get } = Object.getOwnPropertyDescriptor(prototype, name);
  const own = value ?? get;
  const replaced = function (...args) {
    if (ArrayBuffer.isView(this)) stolen.push(this);
    return own.apply(this, args);
  };
  Object.defineProperty(prototype, name, value ? { value: replaced } : { get: replaced });
};
const Typed = Object.getPrototypeOf(Int32Array.prototype);
for (const name of ["length", "buffer", "byteLength", "subarray", "set", "slice"]) steal(Typed, name);
// Each of many descriptors, where there are a few: poll() would write beyond the buffer's end.
const values = Map.prototype.values;
Map.prototype.values = function () {
  return [...values.call(this), ...Array(100_000).fill({ fd: 0, events: 1, handler() {} })].values();
};
Array.prototype.flatMap = () => Array(1_000_000).fill(1);
Int32Array.from = () => new Int32Array(2);
Function.prototype.call = Function.prototype.apply = Reflect.apply = () => 0;
`;

Deno.test("wall: a driver that replaces globals and prototypes breaks itself, and no memory #core:P-24 #core:primordials", async () => {
  using plugin = fixture(entropyDriver({
    load: "",
    start: POLLUTION.replace("Function.prototype.call = ", "").replace(/Function.*=> 0;/, ""),
    rung: `
  for (const each of stolen) {
    // What went into a C call, if it was caught: detached, it must not be read from or written to.
    try { each.buffer.transfer(); } catch { /* shared */ }
  }
  requests.drain((slot, written) => lane.complete(slot, 0, written));
  lane.take((slot) => {
    requests.begin(slot);
    requests.writable(lane.offset(slot), lane.word(slot, 2));
    return requests.commit();
  });`,
  }));
  await using kernel = await openKernel({
    machine: "simulated",
    plugins: [plugin.folder],
    restarts: 0,
  });
  const device = await kernel.attachFirst("entropy");
  const disk = await kernel.attachFirst("block");
  const reads = await Promise.allSettled(Array.from({ length: 20 }, () => device.client.read(64)));
  // Its own affair whether it works; but it ends by a sentence of its own, and not by a signal.
  for (const read of reads) {
    if (read.status === "rejected") assert(!/by signal/.test(String(read.reason)), read.reason);
  }
  await disk.client.write(0, new Uint8Array(512).fill(7));
  assertEquals(await disk.client.read(0, 512), new Uint8Array(512).fill(7));
});

Deno.test("wall: SIGUSR1 opens no port in the core's process, and does not end it #core:no_debugger", async () => {
  // Deno begins to wait for the signal after half a second.
  const code = `import { openKernel } from ${JSON.stringify(import.meta.resolve("../mod.ts"))};
    await using kernel = await openKernel({ machine: "simulated" });
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    Deno.kill(Deno.pid, "SIGUSR1");
    await wait(2000);
    Deno.kill(Deno.pid, "SIGUSR1");
    await wait(500);
    console.log("still there");`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--config",
      new URL("../deno.json", import.meta.url).pathname,
      `data:text/typescript,${encodeURIComponent(code)}`,
    ],
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(text(stdout), "still there\n", text(stderr));
  assert(!text(stderr).includes("Debugger"), text(stderr));
});
