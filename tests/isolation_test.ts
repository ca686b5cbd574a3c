/**
 * What a driver in a process of its own may not do. The drivers here are hostile: they say what they achieved in the
 * text by which they decline the device.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DriverGone } from "../core/kernel/conversation.ts";
import { openKernel } from "../mod.ts";
import { attempt, type Attempts, type Outcomes } from "./support/attempt.ts";
import "./support/libc.ts";
import { simulatedMachine } from "./support/machine.ts";
import { entropyDriver, fixture } from "./support/plugin.ts";
import { patience } from "./support/patience.ts";

const REFUSED: Attempts = {
  "P-01 opens a library": `Deno.dlopen("libc.so.6", {})`,
  "P-01 takes a pointer": `Deno.UnsafePointer.of(new Uint8Array(1))`,
  "P-01 follows a pointer":
    `new Deno.UnsafePointerView(Deno.UnsafePointer.create(4096n)).getUint8()`,
  "P-01 makes a callback": `new Deno.UnsafeCallback({ parameters: [], result: "void" }, () => {})`,
  "P-02 reads a file": `Deno.readTextFile("/etc/hostname")`,
  "P-02 reads its own module": `Deno.readTextFile(new URL(import.meta.url))`,
  "P-02 reads by node:fs": `(await import("node:fs")).readFileSync("/etc/hostname")`,
  "P-02 lists a folder": `[...Deno.readDirSync("/")]`,
  "P-02 writes a file": `Deno.writeTextFile("/tmp/virtio-plugin-was-here", "")`,
  "P-02 connects": `Deno.connect({ port: 9 })`,
  "P-02 connects to a socket file": `Deno.connect({ transport: "unix", path: "/run/x" })`,
  "P-02 listens": `Deno.listen({ port: 0 })`,
  "P-02 fetches": `fetch("https://unreachable.invalid/")`,
  "P-02 resolves a name": `Deno.resolveDns("unreachable.invalid", "A")`,
  "P-02 runs a program": `new Deno.Command("/bin/true").output()`,
  "P-02 runs by node:child_process":
    `(await import("node:child_process")).execFileSync("/bin/true")`,
  "P-02 signals the core": `Deno.kill(Deno.ppid, "SIGTERM")`,
  "P-02 reads the environment": `Deno.env.toObject()`,
  "P-02 reads a variable": `Deno.env.get("HOME")`,
  "P-02 asks for the host's name": `Deno.hostname()`,
  "P-02 asks for the system": `Deno.osRelease()`,
  "P-03 reads the core's descriptors": `(await import("node:fs")).readSync(5, new Uint8Array(8))`,
  "P-04 imports a file outside its graph": `import(hide("./other.ts"))`,
  "P-04 imports from the network": `import(hide("https://unreachable.invalid/x.ts"))`,
  "P-05 imports from npm": `import(hide("npm:left-pad@1.3.0"))`,
  "P-05 imports from jsr": `import(hide("jsr:@std/assert@1"))`,
};

Deno.test("driver: has no permission, by no door #core:P-01 #core:P-02 #core:P-04 #core:P-05", async () => {
  const outcomes = await attempt(REFUSED, { files: { "other.ts": "export default 'other';" } });
  assertEquals(Object.keys(outcomes), Object.keys(REFUSED));
  for (const [name, outcome] of Object.entries(outcomes)) {
    assert(!outcome.startsWith("did it"), `${name}: ${outcome}`);
    // A typing error in an attempt would pass as a refusal.
    assertMatch(outcome, /Requires \w+ access|--no-npm|EBADF|Operation not permitted/, name);
  }
});

Deno.test("driver: cannot ask for a permission either", async () => {
  const names = ["ffi", "read", "write", "net", "env", "sys", "run", "import"];
  const outcomes = await attempt(Object.fromEntries(
    names.map((name) => [name, `(await Deno.permissions.request({ name: "${name}" })).state`]),
  ));
  assertEquals(outcomes, Object.fromEntries(names.map((name) => [name, "did it: denied"])));
});

/** Functions of the core that a process without a permission must not be able to call any more. */
const UNSAFE: readonly (readonly [module: string, call: string])[] = [
  ["libc.ts", "libc().getpid()"],
  ["file.ts", `readText("/etc/hostname")`],
  ["file.ts", `readFolder("/")`],
  ["memory.ts", `memoryFile("x", 4096)`],
  ["fd.ts", "eventfd()"],
  ["process.ts", "kill(processId(), 0)"],
];

Deno.test("P-01 driver: gets no C function by importing the core that is loaded beside it", async () => {
  const url = (module: string) => import.meta.resolve(`../core/linux/${module}`);
  const modules = [...new Set(UNSAFE.map(([module]) => module))];
  const outcomes = await attempt(
    {
      ...Object.fromEntries(UNSAFE.map(([module, call]) => [
        `static ${module} ${call}`,
        call.replace(/(?<!\.)\b\w+(?=\()/g, (name) => `host${modules.indexOf(module)}.${name}`),
      ])),
      ...Object.fromEntries(UNSAFE.map(([module, call]) => [
        `dynamic ${module} ${call}`,
        call.replace(/\w+(?=\()/, (name) => `(await import(hide("${url(module)}"))).${name}`)
          .replace(/processId\(\)/, "1"),
      ])),
    },
    {
      head: modules.map((module, i) => `import * as host${i} from "${url(module)}";`).join("\n"),
    },
  ).catch((error: Error) => {
    // Not even loaded is as good.
    assertMatch(error.message, /its process ended with exit code/);
    return {} as Outcomes;
  });
  const succeeded = Object.entries(outcomes).filter(([, outcome]) => outcome.startsWith("did it"));
  assertEquals(succeeded, []);
});

Deno.test("driver: its standard input is at its end #core:P-15", async () => {
  const outcomes = await attempt({
    read: "Deno.stdin.read(new Uint8Array(8))",
    sync: "Deno.stdin.readSync(new Uint8Array(8))",
  });
  assertEquals(outcomes, { read: "did it: null", sync: "did it: null" });
});

Deno.test("driver: sees the environment and arguments that it may know, and nothing else", async () => {
  const { args } = await attempt({ args: "Deno.args[1]" });
  const boot = JSON.parse(args!.replace("did it: ", ""));
  assertEquals(Object.keys(boot), [
    "folder",
    "core",
    "controlSize",
    "arenaOffset",
    "arenaSize",
    "arenaAlignment",
    "vectors",
    "doorbells",
    "registers",
    "watch",
    "counted",
    "memory",
  ]);
});

Deno.test("driver: a worker within it has no more rights, or it ends for trying #core:P-03", async () => {
  const worker =
    "let found; try { found = 'did it: ' + Deno.readTextFileSync('/etc/hostname'); } " +
    "catch (error) { found = error.name; } postMessage(found);";
  const ask = (options: string) =>
    attempt({
      worker: `new Promise((resolve, reject) => {
        const worker = new Worker("data:text/javascript," + encodeURIComponent(${
        JSON.stringify(worker)
      }), { type: "module"${options} });
        worker.onmessage = ({ data }) => { worker.terminate(); resolve(data); };
        worker.onerror = (event) => { event.preventDefault(); reject(new Error(event.message)); };
      })`,
    }).then(({ worker }) => worker!, (error: Error) => error.message);
  for (const options of ["", `, deno: { permissions: { read: true } }`]) {
    const outcome = await ask(options);
    assert(!outcome.includes("did it: did it"), outcome);
    assertMatch(outcome, /NotCapable|PermissionDenied|its process ended|^The driver .* hangs/);
  }
});

Deno.test("driver: what it prints is labelled, cut, and steers no terminal #core:P-16", async () => {
  const lines: string[] = [];
  using plugin = fixture(entropyDriver({
    load: `console.log("first\\u001b[2J\\u0007\\nsecond");
console.error("third");
console.log("x".repeat(10_000_000));
await new Promise((resolve) => setTimeout(resolve, 100));`,
    plan: `return { decline: "done" };`,
  }));
  await using kernel = await openKernel({
    machine: "simulated",
    plugins: [plugin.folder],
    log: (line) => lines.push(line),
  });
  await assertRejects(() => kernel.attachFirst("entropy"), DriverGone, "declines: done");
  const label = "0000:00:01.0 fixture: ";
  for (const line of lines) {
    assert(line.startsWith(label), line);
    assert(!/\p{Cc}/u.test(line), line);
    assert(line.length <= 1100, `a line of ${line.length}`);
  }
  const said = lines.map((line) => line.slice(label.length));
  for (const wanted of ["first�[2J�", "second", "third"]) assert(said.includes(wanted), wanted);
  assert(said.some((line) => /^x{1024}$/.test(line)));
});

Deno.test("P-16 driver: a reason that it gives steers no terminal", async () => {
  const reasons: Readonly<Record<string, Parameters<typeof entropyDriver>[0]>> = {
    decline: { plan: `return { decline: "before\\u001b[2J\\u0007after" };` },
    fault: { plan: `throw new Error("before\\u001b[2J\\u0007after");` },
    name: {
      plan: `return { queues: { "before\\u001b[2Jafter": { index: 7, size: 8 } }, lanes: {} };`,
    },
  };
  for (const [name, parts] of Object.entries(reasons)) {
    using plugin = fixture(entropyDriver(parts));
    await using kernel = await openKernel({ machine: "simulated", plugins: [plugin.folder] });
    const error = await assertRejects(() => kernel.attachFirst("entropy"), Error, "before");
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(error.message), `${name}: ${error.message}`);
  }
});

Deno.test("P-34 driver: a flood of a million lines neither stalls nor bloats the core #core:P-34", async () => {
  const lines: string[] = [];
  using plugin = fixture(entropyDriver({
    load: `const block = new TextEncoder().encode("a line of a flood\\n".repeat(1000));
for (let i = 0; i < 1000; i++) for (let at = 0; at < block.length;) {
  at += Deno.stdout.writeSync(block.subarray(at));
}`,
    plan: `return { decline: "done" };`,
  }));
  await using kernel = await openKernel({
    ...simulatedMachine().options,
    plugins: [plugin.folder],
    log: (line) => lines.push(line),
  });
  const disk = await kernel.attachFirst("block");
  const before = Deno.memoryUsage().rss;
  let over = false;
  let reads = 0;
  const reading = (async () => {
    for (; !over; reads++) await disk.client.read(0, 4096);
  })();
  await assertRejects(() => kernel.attachFirst("entropy"), DriverGone, "declines: done");
  over = true;
  await reading;
  assert(reads > 10, `the disk served ${reads} requests meanwhile`);
  assert(lines.length < 10_000, `${lines.length} lines came through`);
  assert(Deno.memoryUsage().rss - before < 256 * 2 ** 20, "the core grew");
});

Deno.test("DENO_AUDIT_PERMISSIONS: core and drivers use ffi, and drivers read their own modules #core:audit", async () => {
  const audit = await Deno.makeTempFile({ prefix: "virtio-audit-" });
  try {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: [
        "run",
        "--allow-ffi",
        "--no-prompt",
        import.meta.resolve("./support/both_drivers.ts"),
      ],
      env: { DENO_AUDIT_PERMISSIONS: audit, NO_COLOR: "1" },
      stdin: "null",
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    assertEquals(new TextDecoder().decode(stdout), "done\n");
    const asked = (await Deno.readTextFile(audit)).trim().split("\n").map((line) =>
      JSON.parse(line) as { permission: string; value: string }
    );
    assert(asked.length > 0);
    const own = ["classes", "core", "plugins"].map((folder) =>
      new URL(`../${folder}/`, import.meta.url).pathname
    );
    assertEquals(
      asked.filter(({ permission, value }) =>
        permission !== "ffi" &&
        !(permission === "read" &&
          own.some((folder) => value.replaceAll('"', "").startsWith(folder)))
      ),
      [],
    );
  } finally {
    await Deno.remove(audit);
  }
});
