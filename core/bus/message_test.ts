import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BusFault } from "./mailbox.ts";
import { type FromDriver, fromDriver } from "./message.ts";

const plan = {
  features: "0x20",
  queues: [{ name: "requests", index: 0, size: 8, buffers: 3 }],
  lanes: [{ name: "requests", slots: 4, slotBytes: 512 }],
  buffers: [{ name: "headers", bytes: 64 }],
  properties: { sectors: 7, name: "disk", readOnly: false },
  physical: false,
};

const report = {
  name: "requests",
  inFlight: 1,
  published: 2,
  completed: 3,
  notifications: 4,
  overlong: 5,
};

/** One of each kind. */
const messages: readonly FromDriver[] = [
  { type: "hello", api: 1 },
  { type: "plan", plan },
  { type: "decline", reason: "it is too small" },
  { type: "ready" },
  { type: "properties", properties: { sectors: 8 } },
  { type: "writeConfig", field: "actual", value: 3 },
  { type: "readConfig" },
  { type: "report", queues: [report], statistics: {}, interrupts: [], heap: 0 },
  {
    type: "report",
    queues: [{ ...report, broken: { rule: "D-41", what: "lied" } }],
    statistics: {},
    interrupts: [3, 0],
    heap: 4096,
  },
  {
    type: "report",
    queues: [{ ...report, bytes: { read: 512, written: 1 } }],
    statistics: {},
    interrupts: [],
    heap: 0,
  },
  { type: "broken", queue: "requests", rule: "D-41", what: "lied" },
  { type: "stopped" },
  { type: "fault", message: "it broke" },
];

for (const message of messages) {
  Deno.test(`fromDriver() takes ${JSON.stringify(message).slice(0, 60)}`, () => {
    const copy = JSON.parse(JSON.stringify(message));
    assertEquals(fromDriver(copy), message);
    assertEquals(fromDriver({ ...copy, more: [1, 2] }), message);
  });
}

Deno.test("fromDriver() takes a lane's deadline, which may be left out", () => {
  const decode = (deadline: unknown) =>
    fromDriver({ type: "plan", plan: { ...plan, lanes: [{ ...plan.lanes[0], deadline }] } });
  assertEquals(decode(0), {
    type: "plan",
    plan: { ...plan, lanes: [{ ...plan.lanes[0]!, deadline: 0 }] },
  });
  assertEquals(decode(undefined), { type: "plan", plan });
  assertThrows(() => decode(-1), BusFault, "plan.lanes[0].deadline");
});

Deno.test("fromDriver() takes statistics under any printable name, as whole numbers", () => {
  const decode = (statistics: unknown) =>
    fromDriver({ type: "report", queues: [], statistics, interrupts: [], heap: 0 });
  assertEquals(decode({ "rx\u001b[2J": 2 }), {
    type: "report",
    queues: [],
    statistics: { "rx\ufffd[2J": 2 },
    interrupts: [],
    heap: 0,
  });
  for (const count of [-1, 1.5, "1", null, true]) {
    assertThrows(() => decode({ rx: count }), BusFault, "report.statistics.rx");
  }
});

Deno.test("fromDriver() passes on only what is in the vocabulary", () => {
  const queue = { ...plan.queues[0]!, more: 1 };
  const decoded = fromDriver({
    type: "plan",
    plan: { ...plan, queues: [queue], more: 1 },
    more: 1,
  });
  assertEquals(decoded, { type: "plan", plan });
});

/** A copy of `value` in which what stands at `path` is `wrong`; missing if that is undefined. */
function spoil(value: unknown, path: readonly string[], wrong: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return wrong;
  const copy = (Array.isArray(value) ? [...value] : { ...value as object }) as Record<
    string,
    unknown
  >;
  copy[first] = spoil(copy[first], rest, wrong);
  if (copy[first] === undefined) delete copy[first];
  return copy;
}

/** Every place in a message: its path, and what stands there. */
function* places(value: unknown, path: readonly string[] = []): Generator<[string[], unknown]> {
  yield [[...path], value];
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) yield* places(inner, [...path, name]);
}

/** Values that are wrong wherever `right` was right. */
function wrongFor(right: unknown): unknown[] {
  const all = [null, undefined, 1.5, -1, 2 ** 53, true, "", "x", "y".repeat(20_000), [], [1], {}];
  if (typeof right === "number" || /^0x/.test(String(right))) return all;
  return all.filter((value) => {
    if (typeof right === "boolean") return typeof value !== "boolean";
    if (typeof right === "string") return typeof value !== "string" || value.length > 16384;
    if (Array.isArray(right)) return !Array.isArray(value) || value.length > 0;
    return typeof value !== "object" || value === null || Array.isArray(value);
  });
}

/** How a path is called in a fault: `plan.queues[0].size`. */
function called(path: readonly string[]): string {
  return path.map((name) => /^\d/.test(name) ? `[${name}]` : `.${name}`).join("").slice(1);
}

for (const message of messages) {
  Deno.test(`fromDriver() names the wrong field of ${JSON.stringify(message).slice(0, 60)}`, () => {
    for (const [path, right] of places(message)) {
      const name = path.at(-1);
      if (name === undefined || name === "type" || path.at(-2) === "properties") continue;
      for (const wrong of wrongFor(right)) {
        const optional = name === "broken" || name === "bytes" || /^\d/.test(name) ||
          path.join() === "plan,properties";
        if (wrong === undefined && optional) continue;
        if (name === "interrupts" && Array.isArray(wrong)) continue; // a list of numbers
        const fault = assertThrows(() => fromDriver(spoil(message, path, wrong)), BusFault);
        const ofItself = path[0] === "plan" || path[0] === "properties";
        assertStringIncludes(fault.message, called(ofItself ? path : [message.type, ...path]));
        assert(fault.message.length < 200, "a fault repeats too much");
      }
    }
  });
}

Deno.test("fromDriver() takes plain values as properties only", () => {
  for (const value of [1, -1.5, "", "text", true]) {
    const message: FromDriver = { type: "properties", properties: { value } };
    assertEquals(fromDriver(message), message);
  }
  for (const value of [null, [], {}, [1]]) {
    const own = { type: "properties", properties: { value } };
    assertThrows(() => fromDriver(own), BusFault, "properties.value");
    const planned = { type: "plan", plan: { ...plan, properties: { value } } };
    assertThrows(() => fromDriver(planned), BusFault, "plan.properties.value");
  }
});

Deno.test("fromDriver() passes on no text that steers a terminal", () => {
  const message = "\x1b[2Jtwo\nlines\x07\x9b";
  const text = fromDriver({ type: "fault", message });
  assertEquals(text, { type: "fault", message: "\ufffd[2Jtwo\nlines\ufffd\ufffd" });
});

Deno.test("fromDriver() refuses lists that are too long", () => {
  const queues = (length: number) => ({
    type: "report",
    statistics: {},
    interrupts: [],
    heap: 0,
    queues: Array(length).fill(report),
  });
  assertEquals(fromDriver(queues(1024)).type, "report");
  assertThrows(() => fromDriver(queues(1025)), BusFault, "at most 1024");
});

Deno.test("fromDriver() refuses what is no message", () => {
  for (const value of [undefined, null, 1, "hello", [], [{ type: "hello" }], true]) {
    assertThrows(() => fromDriver(value), BusFault, "A driver sent message");
  }
  for (
    const type of [
      undefined,
      null,
      1,
      "",
      "offer",
      "go",
      "__proto__",
      "toString",
      {},
      "z".repeat(999),
    ]
  ) {
    const fault = assertThrows(() => fromDriver({ type }), BusFault, "unknown type");
    assert(fault.message.length < 120);
  }
});

Deno.test("fromDriver() refuses numbers that are no whole ones", () => {
  for (const api of [NaN, Infinity, -0.5, 1e300, "1", [1]]) {
    assertThrows(() => fromDriver({ type: "hello", api }), BusFault, "hello.api");
  }
});

Deno.test("fromDriver() refuses features that are no hexadecimal number", () => {
  for (const features of ["20", "0x", "0xG", "0X20", "0x20 ", "-0x20", `0x${"f".repeat(33)}`, 32]) {
    const fault = () => fromDriver({ type: "plan", plan: { ...plan, features } });
    assertThrows(fault, BusFault, "plan.features");
  }
  assertEquals(
    fromDriver({ type: "plan", plan: { ...plan, features: `0x${"f".repeat(32)}` } }).type,
    "plan",
  );
});

/** A list in a list in a list, as JSON. */
function deep(levels: number): unknown {
  return JSON.parse("[".repeat(levels) + "]".repeat(levels));
}

for (const levels of [10, 1000, 60_000]) {
  Deno.test(`fromDriver() throws BusFault for values ${levels} lists deep`, () => {
    const inner = deep(levels);
    for (const value of [inner, { type: inner }, { type: "hello", api: inner }]) {
      assertThrows(() => fromDriver(value), BusFault);
    }
    const properties = { type: "properties", properties: { sectors: inner } };
    assertThrows(() => fromDriver(properties), BusFault, "properties.sectors");
  });
}

Deno.test("whatever a driver sends, fromDriver() throws BusFault only", () => {
  const wild = fc.jsonValue({ maxDepth: 3 });
  const bent = fc.tuple(fc.constantFrom(...messages), fc.nat(100), wild).map(
    ([message, at, value]) => {
      const paths = [...places(message)].map(([path]) => path);
      return spoil(message, paths[at % paths.length]!, value);
    },
  );
  const typed = fc.tuple(fc.constantFrom(...messages.map(({ type }) => type)), wild).map(
    ([type, value]) => ({ ...value as object, type }),
  );
  fc.assert(
    fc.property(fc.oneof(wild, bent, bent, typed), (value) => {
      try {
        const decoded = fromDriver(value);
        assert(messages.some(({ type }) => type === decoded.type));
      } catch (error) {
        assert(error instanceof BusFault, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
