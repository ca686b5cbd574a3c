/**
 * Drivers that fail in every way there is: each is reported, no other driver notices, nothing is left behind.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import { Status } from "../core/bus/lane.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { checkManifest } from "../core/plugin/check_manifest.ts";
import { definePlugin, type Plugin } from "../core/plugin/mod.ts";
import type { Kernel, OpenOptions } from "../mod.ts";
import { PATIENCE, type Patience } from "../core/kernel/patience.ts";
import { openImpatient } from "./support/impatient.ts";
import { alive, children, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { CAPACITY, pattern, simulatedMachine } from "./support/machine.ts";
import { entropyDriver, type Fixture, fixture, type FixtureOptions } from "./support/plugin.ts";
import { type Parts, PLAN, WORK } from "./support/plugin.ts";
import { patience } from "./support/patience.ts";

/** The simulated machine with a third party's driver for its entropy device, and its disk under load. */
async function withBadDriver(
  plugin: Fixture,
  work: (kernel: Kernel) => Promise<void>,
  options: OpenOptions = {},
  patience: Partial<Patience> = {},
): Promise<void> {
  const left = await leftovers(async () => {
    await using kernel = await openImpatient({
      restarts: 0,
      ...simulatedMachine().options,
      plugins: [plugin.folder],
      ...options,
    }, patience);
    const disk = await kernel.attachFirst("block");
    await using load = startLoad(disk);
    await work(kernel);
    // It goes on, and not only what was under way already.
    const { rounds } = load;
    assert(await soon(() => load.rounds >= rounds + 3), "the disk stands still");
  });
  assertEquals(left, []);
}

interface Load extends AsyncDisposable {
  /** How often something was written and read back. */
  readonly rounds: number;
}

function startLoad({ client }: Device<"block">): Load {
  let over = false;
  let rounds = 0;
  const running = (async () => {
    for (; !over; rounds++) {
      const bytes = pattern(4096, rounds);
      const offset = rounds * 4096 % CAPACITY;
      await client.write(offset, bytes);
      assertEquals(await client.read(offset, 4096), bytes);
    }
  })();
  return {
    get rounds() {
      return rounds;
    },
    async [Symbol.asyncDispose]() {
      over = true;
      await running;
    },
  };
}

/** What is wrong with a driver, and what is said about it: name of the error and its message. */
interface Fault extends FixtureOptions {
  readonly parts?: Parts;
  /** The whole module, instead of parts. */
  readonly module?: string;
  readonly says: readonly [name: string, message: RegExp];
  /** Whether it ends by itself, if it is given as long as any driver: it is not silence that is found then. */
  readonly ends?: boolean;
}

const HANGS = /gave no sign of life for [\d.]+ s: it hangs|did not send \w+ .*within \d+ ms/;

function plan(changes: string): string {
  return `return { ...${PLAN}, ${changes} };`;
}

/** Faults that show before the device works: `attach` rejects. */
const AT_START: Readonly<Record<string, Fault>> = {
  "throws at load #core:P-11": {
    parts: { load: `throw new Error("not today");` },
    says: ["DriverGone", /its process ended with exit code 1: .*not today/],
  },
  "rejects at load": {
    parts: { load: `Promise.reject(new Error("not today")); await new Promise(() => {});` },
    says: ["DriverGone", /its process ended with exit code 1: .*not today/],
  },
  "waits for ever at load": {
    parts: { load: `await new Promise(() => {});` },
    says: ["DriverGone", /its process ended with exit code 1: .*await promise never resolved/],
  },
  "is no module": {
    module: "this is no TypeScript",
    says: ["DriverGone", /its process ended with exit code 1: .*SyntaxError/],
  },
  "imports what is not there": {
    parts: { load: `import "./nothing.ts";` },
    says: ["DriverGone", /its process ended with exit code 1: .*nothing\.ts/],
  },
  "imports what is not allowed": {
    parts: { load: `import "https://unreachable.invalid/x.ts";` },
    says: ["DriverGone", /its process ended with exit code 1: .*unreachable\.invalid/],
  },
  "defines no plugin": {
    module: "export default {};",
    says: ["DriverGone", /defines no plugin: it does not call definePlugin/],
  },
  "defines something else": {
    module: `import { definePlugin } from "@virtio/deno/plugin"; definePlugin(7);`,
    says: ["DriverGone", /driver failed: TypeError: .*plan is not a function/],
  },
  "ends at load": {
    parts: { load: "Deno.exit(3);" },
    says: ["DriverGone", /its process ended with exit code 3/],
  },
  "ends well at load #core:P-12": {
    parts: { load: "Deno.exit(0);" },
    says: ["DriverGone", /its process ended with exit code 0/],
  },
  "aborts at load": {
    parts: { load: `(await import("node:process")).default.abort();` },
    says: ["DriverGone", /its process ended by signal \d+/],
  },
  "throws in plan": {
    parts: { plan: `throw new RangeError("no plan");` },
    says: ["DriverGone", /driver failed: RangeError: no plan/],
  },
  "throws no error in plan": {
    parts: { plan: `throw null;` },
    says: ["DriverGone", /driver failed: null/],
  },
  "plans nothing": {
    parts: { plan: "return undefined;" },
    says: ["DriverGone", /driver failed: TypeError/],
  },
  "plans a promise": {
    parts: { plan: `return Promise.resolve(${PLAN});` },
    says: ["DriverGone", /driver failed: TypeError/],
  },
  "ends in plan": {
    parts: { plan: "Deno.exit(4);" },
    says: ["DriverGone", /its process ended with exit code 4/],
  },
  "recurses without end in plan #core:P-10": {
    parts: { plan: "return this.plan(offer);" },
    says: ["DriverGone", /driver failed: RangeError: Maximum call stack/],
  },
  "declines": {
    parts: { plan: `return { decline: "it looks at me" };` },
    says: ["DriverGone", /^The driver declines: it looks at me$/],
  },
  "throws in start": {
    parts: { start: `throw new Error("no start");` },
    says: ["DriverGone", /driver failed: Error: no start/],
  },
  "starts no driver": {
    module: entropyDriver().replace("return { rung", "({ rung"),
    says: ["DriverGone", /its process ended with exit code 1: .*SyntaxError/],
  },
  "eats its heap #core:P-08": {
    parts: { load: "const all = []; for (;;) all.push(new Array(100).fill({}));" },
    manifest: { limits: { heapMiB: 64 } },
    ends: true,
    says: ["DriverGone", /its process ended by signal \d+: .*out of memory/],
  },
  "eats memory outside its heap #core:P-09": {
    parts: { load: "const all = []; for (;;) all.push(new Uint8Array(1 << 24).fill(1));" },
    manifest: { limits: { heapMiB: 64 } },
    ends: true,
    // Where memory runs out is chance: Deno's own threads, which come late on a busy machine, need some, too.
    says: [
      "DriverGone",
      /its process ended .*: .*(allocation failed|out of memory|unable to create worker threads)/,
    ],
  },

  // Plans that cannot be granted.
  "plans features that are not offered": {
    parts: { plan: plan("features: offer.features | 1n << 5n") },
    says: ["PlanError", /wants the features 0x20, which the device does not offer/],
  },
  "plans features of the core": {
    parts: { plan: plan("features: 1n << 32n") },
    says: ["PlanError", /wants the features 0x100000000, which the device does not offer/],
  },
  "plans negative features": {
    parts: { plan: plan("features: -1n") },
    says: ["BusFault", /sent plan\.features = "0x-1": a hexadecimal number is wanted/],
  },
  "plans a queue that is not there": {
    parts: { plan: plan("queues: { requests: { index: 7, size: 8 } }") },
    says: ["PlanError", /queue requests has the index 7, and the device has no such queue/],
  },
  "plans a queue twice": {
    parts: { plan: plan("queues: { a: { index: 0, size: 8 }, b: { index: 0, size: 8 } }") },
    says: ["PlanError", /queue index 0 stands in it twice/],
  },
  ...Object.fromEntries(
    ([
      [0, /queue requests has the size 0: it must be a whole number from 1 to 32768/],
      [3, /queue requests has the size 3: it must be a power of two/],
      [65536, /queue requests has the size 65536: it must be a whole number/],
    ] as const).map(([size, message]): [string, Fault] => [
      `plans a queue of size ${size}`,
      {
        parts: { plan: plan(`queues: { requests: { index: 0, size: ${size} } }`) },
        says: ["PlanError", message],
      },
    ]),
  ),
  ...Object.fromEntries(
    ["-1", "1.5", "NaN", "2 ** 53", `"8"`].map((size): [string, Fault] => [
      `plans a queue of size ${size}`,
      {
        parts: { plan: plan(`queues: { requests: { index: 0, size: ${size} } }`) },
        says: ["BusFault", /sent plan\.queues\[0\]\.size = .*: a whole number is wanted/],
      },
    ]),
  ),
  "plans requests of no buffer": {
    parts: { plan: plan("queues: { requests: { index: 0, size: 8, buffers: 0 } }") },
    says: ["PlanError", /queue requests has 0 buffers in a request/],
  },
  "plans too many slots": {
    parts: { plan: plan("lanes: { requests: { slots: 4097, slotBytes: 16 } }") },
    says: ["PlanError", /lane requests has 4097 slots; 1 to 4096 are possible/],
  },
  "plans no slots": {
    parts: { plan: plan("lanes: { requests: { slots: 0, slotBytes: 16 } }") },
    says: ["PlanError", /lane requests has 0 slots/],
  },
  "plans too many lanes": {
    parts: {
      plan: plan(
        "lanes: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`l${i}`, { slots: 4096, slotBytes: 1 }]))",
      ),
    },
    says: ["PlanError", /too many slots/],
  },
  "plans no lane for its class": {
    parts: { plan: plan("lanes: {}") },
    says: ["TypeError", /has no lane named requests, which its class needs/],
  },
  "plans more memory than it has": {
    parts: { plan: plan("lanes: { requests: { slots: 4096, slotBytes: 65536 } }") },
    says: ["PlanError", /lane requests needs 268435456 bytes, .*limits\.memoryMiB/],
  },
  "plans a buffer beyond all memory": {
    parts: { plan: plan("buffers: { mine: Number.MAX_SAFE_INTEGER }") },
    says: ["PlanError", /buffer mine needs 9007199254740991 bytes/],
  },

  // The core must not care what the driver's globals have become.
  "wrecks every prototype": {
    parts: {
      load:
        `for (const each of [Object, Array, String, Number, BigInt, Map, Set, Promise, Function]) {
  for (const name of Object.getOwnPropertyNames(each.prototype)) {
    try { each.prototype[name] = () => { throw new Error("wrecked"); }; } catch { /* fixed */ }
  }
}`,
    },
    says: ["DriverGone", /driver failed|its process ended .*wrecked/],
  },
  "wrecks JSON": {
    parts: { load: `JSON.stringify = () => { throw new Error("wrecked"); };` },
    says: ["DriverGone", /driver failed|its process ended .*wrecked/],
  },
  ...Object.fromEntries(
    ([
      ["no JSON", `"{"`, /Cannot receive a message: /],
      ["nothing", `"null"`, /A driver sent message = null: an object is wanted/],
      ["an unknown type", `'{"type":"root"}'`, /a message of unknown type "root"/],
      ["what was not asked for", `'{"type":"ready"}'`, /sent "ready" unasked/],
      [
        "a wrong plugin API",
        `'{"type":"hello","api":99}'`,
        /written for version 99 of the plugin API/,
      ],
      [
        "a deep message",
        `"[".repeat(50000) + "]".repeat(50000)`,
        /A driver sent message|Maximum|receive/,
      ],
      ["a deep type", `'{"type":' + "[".repeat(50000) + "]".repeat(50000) + "}"`, /./],
      [
        "a long message",
        `'{"type":"fault","message":"' + "x".repeat(100000) + '"}'`,
        /a short text is wanted/,
      ],
      [
        "an early report",
        `'{"type":"report","queues":[],"statistics":{},"interrupts":[],"heap":1}'`,
        /sent "report" unasked/,
      ],
      ["its own prototype", `'{"type":"hello","api":1,"__proto__":{"type":"x"}}'`, /./],
    ] as const).map(([what, text, message]): [string, Fault] => [
      `sends ${what}`,
      {
        parts: { load: `JSON.stringify = () => ${text};` },
        says: [what === "a wrong plugin API" ? "DriverGone" : "BusFault", message],
      },
    ]),
  ),
  "floods its mailbox": {
    parts: {
      load: `const stringify = JSON.stringify;
JSON.stringify = () => stringify({ type: "properties", properties: { x: "y".repeat(10000) } });`,
    },
    says: ["BusFault", /sent "properties" unasked/],
  },
};

for (
  const [name, { parts, module, says: [type, message], ends, ...options }] of Object.entries(
    AT_START,
  )
) {
  Deno.test(`driver: ${name}`, async () => {
    using plugin = fixture(module ?? entropyDriver(parts), options);
    await withBadDriver(
      plugin,
      async (kernel) => {
        const error = await assertRejects(() => kernel.attachFirst("entropy"), Error);
        assertEquals([error.name, error.message], [type, error.message], error.message);
        assertMatch(error.message, message);
        assertEquals(kernel.devices.map((device) => device.driver), ["blk"]);
      },
      {},
      ends ? PATIENCE : {},
    );
  });
}

/** Faults of a driver at work: requests end as "gone", and `gone` says why. */
const AT_WORK: Readonly<Record<string, Fault>> = {
  "never takes a request, and gives every sign of life #core:P-32": {
    parts: { rung: "" },
    says: ["RequestError", /did not finish a request within 2000 ms/],
  },
  "takes requests and keeps them #core:P-28": {
    parts: { rung: "lane.take(() => true);" },
    says: ["RequestError", /did not finish a request within 2000 ms/],
  },
  "throws in rung": {
    parts: { rung: `${WORK} if (requests.counters.completed > 2) throw new Error("no more");` },
    says: ["RequestError", /driver failed: Error: no more/],
  },
  "ends in rung": {
    parts: { rung: `${WORK} if (requests.counters.completed > 2) Deno.exit(5);` },
    says: ["RequestError", /its process ended with exit code 5/],
  },
  "completes a slot twice #core:P-25": {
    parts: {
      rung: WORK.replace("lane.complete(slot, 0, written)", "{ $&; $&; }"),
    },
    says: [
      "RequestError",
      /completed (\d+ requests with \d+ in flight|slot \d+, which is not in flight)/,
    ],
  },
  "completes a slot that is not in flight #core:P-25": {
    parts: {
      rung: WORK.replace("lane.complete(slot", "lane.complete((slot + 1) % 8"),
    },
    says: ["RequestError", /completed slot \d+, which is not in flight/],
  },
  "completes a slot that is not there #core:P-25": {
    parts: { rung: WORK.replace("lane.complete(slot", "lane.complete(slot + 4096") },
    says: ["RequestError", /completed slot 4\d+, which is not in flight/],
  },
  "gives the device memory that it does not have #core:P-26": {
    parts: { rung: WORK.replace("lane.offset(slot)", "2 ** 40") },
    says: ["RequestError", /driver failed: RangeError: Cannot add \d+ bytes at 1099511627776/],
  },
  "wrecks Atomics under way": {
    parts: {
      rung: `${WORK} if (requests.counters.completed > 2) Atomics.store = Atomics.load = () => 7;`,
    },
    says: ["RequestError", /./],
  },
  ...Object.fromEntries(
    ([
      "-1",
      "-0.5",
      "NaN",
      "Infinity",
      "2 ** 53",
      "2 ** 32",
      "undefined",
      "arenaBytes - 1",
    ] as const).flatMap((place): [string, Fault][] => [
      [`gives the device memory at ${place} #core:P-26`, {
        parts: {
          start: "const arenaBytes = buffers.mine.bytes.buffer.byteLength;",
          plan: plan("buffers: { mine: 4096 }"),
          rung: WORK.replace("lane.offset(slot)", place),
        },
        says: ["RequestError", /driver failed: (Range|Type)Error: Cannot/],
      }],
      [`gives the device ${place} bytes #core:P-26`, {
        parts: {
          start: "const arenaBytes = buffers.mine.bytes.buffer.byteLength;",
          plan: plan("buffers: { mine: 4096 }"),
          rung: WORK.replace("lane.word(slot, 2)", place),
        },
        says: ["RequestError", /driver failed: (Range|Type)Error: Cannot/],
      }],
    ]),
  ),
  ...Object.fromEntries(
    ([
      ["4", "gone"],
      ["5", "unknown"],
      ["7", "none"],
      ["-1", "none"],
    ] as const).map(([status, name]): [string, Fault] => [
      `ends a request as only the core may, with status ${status} (${name}) #core:P-36`,
      {
        parts: {
          rung: WORK.replace("lane.complete(slot, 0", `lane.complete(slot, ${status}`),
        },
        says: ["RequestError", /ended a request with status \d+, as it must not/],
      },
    ]),
  ),
  "scribbles over its ring": {
    parts: {
      start: "const arena = new Uint8Array(buffers.mine.bytes.buffer);",
      plan: plan("buffers: { mine: 4096 }"),
      rung: `${WORK} if (requests.counters.completed > 2) arena.fill(0xff, 0, 65536);`,
    },
    says: ["RequestError", /./],
  },
};

for (const [name, { parts, says: [type, message], ...options }] of Object.entries(AT_WORK)) {
  Deno.test(`driver at work: ${name}`, async () => {
    using plugin = fixture(entropyDriver(parts), options);
    await withBadDriver(plugin, async (kernel) => {
      const device = await kernel.attachFirst("entropy");
      const error = await failsInTheEnd(device);
      assertEquals(error.name, type);
      assertEquals(error.status, Status.gone);
      assertMatch(await device.gone ?? "", message);
      // Nor does it come back for requests that come later.
      await assertRejects(() => device.client.read(32), RequestError, "gone");
      assertEquals((await device.describe()).status, []);
      assertEquals(kernel.devices.map((device) => device.driver), ["blk"]);
    }, { requestDeadline: 2000 });
  });
}

/** Reads until it fails. Many at once: each ends exactly once, and the last with an error. */
async function failsInTheEnd({ client }: Device<"entropy">): Promise<RequestError> {
  const counts = new Uint8Array(20);
  for (;;) {
    const ends = await Promise.allSettled(Array.from(counts, async (_, i) => {
      try {
        return await client.read(64);
      } finally {
        counts[i]!++;
      }
    }));
    assert(counts.every((count) => count === counts[0]), `${counts}`);
    const bad = ends.find((end) => end.status === "rejected");
    if (bad) {
      assert(bad.reason instanceof RequestError, String(bad.reason));
      return bad.reason;
    }
  }
}

Deno.test("driver: starts with the least heap that its plugin.json may ask for", async () => {
  using plugin = fixture(entropyDriver(), { manifest: { limits: { heapMiB: 32 } } });
  await withBadDriver(plugin, async (kernel) => {
    const { client } = await kernel.attachFirst("entropy");
    assertEquals((await client.read(100)).length, 100);
  });
});

const LOOP = "for (;;);";

Deno.test("driver: loops for ever at load, in plan, in start, in rung, or waits for ever #core:P-06 #core:P-07", async () => {
  const loops: readonly Parts[] = [
    { load: LOOP },
    { plan: LOOP },
    { start: LOOP },
    { load: "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);" },
  ];
  // Side by side, since each is waited for.
  const left = await leftovers(async () => {
    const starts = loops.map(async (parts) => {
      using plugin = fixture(entropyDriver(parts));
      await using kernel = await openImpatient({
        machine: "simulated",
        plugins: [plugin.folder],
        restarts: 0,
      });
      const disk = await kernel.attachFirst("block");
      await using load = startLoad(disk);
      const error = await assertRejects(() => kernel.attachFirst("entropy"), Error);
      assertEquals([error.name, HANGS.test(error.message)], ["DriverGone", true], error.message);
      const { rounds } = load;
      assert(await soon(() => load.rounds > rounds));
    });
    const works = [LOOP, `${WORK} if (requests.counters.completed > 2) ${LOOP}`].map(
      async (rung) => {
        using plugin = fixture(entropyDriver({ rung }));
        await using kernel = await openImpatient({
          machine: "simulated",
          plugins: [plugin.folder],
          restarts: 0,
          // On a busy machine so much processor time may take longer than a device gets for a request.
          requestDeadline: 600_000,
        });
        const device = await kernel.attachFirst("entropy");
        const pending = failsInTheEnd(device);
        assertMatch(await device.gone ?? "", HANGS);
        assertEquals((await pending).status, Status.gone);
        await assertRejects(() => device.client.read(1), RequestError, "gone");
      },
    );
    await Promise.all([...starts, ...works]);
  });
  assertEquals(left, []);
});

Deno.test("driver: killed under load, its requests end and the device can be taken again", async () => {
  for (const wait of [0, 1, 5]) {
    const left = await leftovers(async () => {
      await using kernel = await openImpatient({ ...simulatedMachine().options, restarts: 0 });
      const disk = await kernel.attachFirst("block");
      const pid = disk.pid!;
      const random = await kernel.attachFirst("entropy");
      const bytes = new Uint8Array(65536);
      const requests = Array.from({ length: 400 }, (_, i) => disk.client.write(i * 512, bytes));
      const ends = Promise.allSettled(requests);
      await new Promise((resolve) => setTimeout(resolve, wait));
      Deno.kill(pid, "SIGKILL");
      for (const end of await ends) {
        if (end.status === "fulfilled") continue;
        assert(end.reason instanceof RequestError && end.reason.status === Status.gone);
      }
      assertMatch(await disk.gone ?? "", /its process ended by signal 9/);
      assert(!alive(pid));
      await assertRejects(() => disk.client.flush(), RequestError, "gone");
      assertEquals((await random.client.read(32)).length, 32);

      const again = await kernel.attach(disk.address) as Device<"block">;
      await again.client.write(0, pattern(4096, 1));
      assertEquals(await again.client.read(0, 4096), pattern(4096, 1));
    });
    assertEquals(left, []);
  }
});

for (const isolation of ["process", "inline"] as const) {
  Deno.test(`Kernel: disposed while a driver starts, it leaves nothing (${isolation})`, async () => {
    const left = await leftovers(async () => {
      for (const wait of [undefined, 0, 10]) {
        const kernel = await openImpatient({ ...simulatedMachine().options, isolation });
        const start = kernel.attachFirst("block").then(() => {}, (error: Error) => error);
        if (wait !== undefined) await new Promise((resolve) => setTimeout(resolve, wait));
        await kernel[Symbol.asyncDispose]();
        await start;
      }
    });
    assertEquals(left, []);
  });

  Deno.test(`Kernel.attach(): two at once for one device, and only one gets it (${isolation})`, async () => {
    const left = await leftovers(async () => {
      await using kernel = await openImpatient({ ...simulatedMachine().options, isolation });
      const { address } = kernel.nodes.at(-1)!.function;
      const both = await Promise.allSettled([kernel.attach(address), kernel.attach(address)]);
      assertEquals(both.map(({ status }) => status), ["fulfilled", "rejected"]);
      const { client } = kernel.devices[0] as Device<"block">;
      await client.write(0, pattern(512, 1));
      assertEquals(await client.read(0, 512), pattern(512, 1));
    });
    assertEquals(left, []);
  });
}

Deno.test("driver: stopped by SIGSTOP hangs, and ends", async () => {
  const left = await leftovers(async () => {
    await using kernel = await openImpatient({ ...simulatedMachine().options, restarts: 0 });
    const disk = await kernel.attachFirst("block");
    Deno.kill(disk.pid!, "SIGSTOP");
    const pending = assertRejects(() => disk.client.read(0, 512), RequestError, "gone");
    assertMatch(await disk.gone ?? "", HANGS);
    await pending;
    assert(!children().includes(disk.pid!));
  });
  assertEquals(left, []);
});

/** An entropy driver that an application hands over. */
function inline(changes: Partial<Plugin>): OpenOptions {
  const honest: Plugin = definePlugin({
    plan: () => ({
      queues: { requests: { index: 0, size: 8 } },
      lanes: { requests: { slots: 8, slotBytes: 64 } },
    }),
    start: () => ({ rung() {} }),
  });
  const manifest = checkManifest({
    name: "inline",
    entry: "./mod.ts",
    class: "entropy",
    match: [{ vendor: "1af4", device: "1044" }],
  }, "a test");
  const isolation: Isolation = "inline";
  return {
    ...simulatedMachine().options,
    isolation,
    drivers: [{ manifest, entry: "file:///nowhere", plugin: { ...honest, ...changes } }],
  };
}

function fail(where: string): never {
  throw new Error(`failed in ${where}`);
}

const INLINE: Readonly<Record<string, readonly [changes: Partial<Plugin>, message: RegExp]>> = {
  "throws in plan": [{ plan: () => fail("plan") }, /failed in plan/],
  "declines": [{ plan: () => ({ decline: "no" }) }, /The driver declines: no/],
  "throws in start": [{ start: () => fail("start") }, /failed in start/],
  "throws in rung": [{ start: () => ({ rung: () => fail("rung") }) }, /failed in rung/],
};

for (const [name, [changes, message]] of Object.entries(INLINE)) {
  Deno.test(`inline driver: ${name}`, async () => {
    const left = await leftovers(async () => {
      await using kernel = await openImpatient(inline(changes));
      const disk = await kernel.attachFirst("block");
      try {
        const device = await kernel.attachFirst("entropy");
        await assertRejects(() => device.client.read(8), RequestError, "gone");
        assertMatch(await device.gone ?? "", message);
      } catch (error) {
        assertMatch((error as Error).message, message);
      }
      await disk.client.write(512, pattern(512, 3));
      assertEquals(await disk.client.read(512, 512), pattern(512, 3));
      assertEquals(kernel.devices.length, 1);
    });
    assertEquals(left, []);
  });
}

Deno.test("Kernel: a device comes and goes many times and leaves no descriptor, process or mapping", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    signal: patience(),
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      import.meta.resolve("./support/come_and_go.ts"),
    ],
    stdin: "null",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const { before, after } = JSON.parse(new TextDecoder().decode(stdout));
  // The runtime opens a few late; twenty rounds of four devices would show as hundreds.
  const { length } = before.descriptors;
  assert(after.descriptors.length <= length + 4, after.descriptors.join("\n"));
  assertEquals(after.children, []);
  assert(after.mappings <= before.mappings + 4, `${before.mappings} became ${after.mappings}`);
});
