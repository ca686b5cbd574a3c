import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Pair } from "../bus/fake_test.ts";
import { defineClass, flag, text, type Told, u16, u32, u8, usually, whole } from "./mod.ts";

const client = {};
const lane = () => new Pair({ slots: 2 }).client;

Deno.test("a class gets the lanes that it needs, and those that it may have, by their names", () => {
  const seen: unknown[] = [];
  const it = defineClass({
    lanes: ["requests"],
    optional: ["control"],
    open({ requests, control, ...more }, told) {
      seen.push(requests, control, more, told);
      return { client };
    },
  });
  const [requests, control] = [lane(), lane()];
  const told = { pages: 4 };
  assert(it.open(new Map([["requests", requests]]), told, "random").client === client);
  it.open(
    new Map([["control", control], ["requests", requests], ["other", lane()]]),
    told,
    "random",
  );
  assertEquals(seen.slice(0, 2), [requests, undefined]);
  // It said that its drivers tell nothing.
  assertEquals(seen.slice(2, 4), [{}, {}]);
  assert(seen[5] === control);
  assertEquals(seen[6], {});
});

Deno.test("a driver without a lane that its class needs is told which, and which it has", () => {
  const it = defineClass({ lanes: ["requests", "events"], open: () => ({ client }) });
  for (
    const [names, has] of [[["requests", "other"], "requests, other"], [[], "none"]] as const
  ) {
    const lanes = new Map(names.map((name) => [name, lane()]));
    assertThrows(
      () => it.open(lanes, {}, "random"),
      TypeError,
      `no lane named ${names.length ? "events" : "requests"}, which its class needs; it has ${has}`,
    );
  }
});

Deno.test("what a driver tells is checked by its types, and a class always sees what was told last #core:class_properties", async () => {
  const seen: string[] = [];
  const it = defineClass({
    lanes: [],
    properties: {
      pages: whole(1, 8),
      small: u8,
      middle: usually(u16, 7),
      large: usually(u32, 0),
      on: usually(flag, false),
      name: text(),
      unit: usually(text("B or KiB", (unit) => unit === "B" || unit === "KiB"), "B"),
    },
    open: (_, properties) => ({
      client: {
        // Types flow from the definition.
        get sum(): number {
          return properties.pages + properties.small + properties.middle + properties.large;
        },
        get words(): string {
          return `${properties.name} ${properties.unit} ${properties.on ? "on" : "off"}`;
        },
      },
      update: () => seen.push(`update ${properties.pages}`),
      restarted: () => seen.push("restarted"),
      gone: () => seen.push("gone"),
      close: () => Promise.resolve(void seen.push("close")),
    }),
  });
  const good = { pages: 4, small: 255, name: "", more: () => {} };
  const opened = it.open(new Map(), good, "eager");
  assertEquals([opened.client.sum, opened.client.words], [266, " B off"]);
  opened.update({ ...good, pages: 5, middle: 0xffff, large: 0xffff_ffff, on: true, unit: "KiB" });
  assertEquals([opened.client.sum, opened.client.words], [
    5 + 255 + 0xffff + 0xffff_ffff,
    " KiB on",
  ]);
  opened.restarted();
  const wrong: readonly [string, unknown, string, string][] = [
    ["pages", 0, "0", "a whole number, 1 to 8"],
    ["pages", 9, "9", "a whole number, 1 to 8"],
    ["small", 256, "256", "a whole number, 0 to 255"],
    ["small", undefined, "undefined", "a whole number, 0 to 255"],
    ["middle", 1.5, "1.5", "a whole number, 0 to 65535"],
    ["large", "7", '"7"', "a whole number, 0 to 4294967295"],
    ["large", 2 ** 32, "4294967296", "a whole number, 0 to 4294967295"],
    ["on", 1, "1", "true or false"],
    ["name", 5, "5", "a text"],
    ["unit", "MiB", '"MiB"', "B or KiB"],
  ];
  for (const [name, value, found, wanted] of wrong) {
    const told: Told = { ...good, [name]: value };
    const says =
      `Cannot use the property ${name} of the driver eager: it is ${found}, wanted ${wanted}`;
    assertThrows(() => it.open(new Map(), told, "eager"), TypeError, says);
    assertThrows(() => opened.update(told), TypeError, says);
  }
  // What was wrong took nothing away.
  assertEquals([opened.client.words, seen], [" KiB on", ["update 5", "restarted"]]);
  opened.gone();
  await opened.close();
  assertEquals(seen.slice(2), ["gone", "close"]);
});

Deno.test("a property is read once", () => {
  let reads = 0;
  const it = defineClass({
    lanes: [],
    properties: { pages: u8 },
    open: (_, { pages }) => ({ client: { pages } }),
  });
  const told = {
    get pages() {
      return ++reads;
    },
  };
  assertEquals([it.open(new Map(), told, "sly").client.pages, reads], [1, 1]);
});

const passed = { name: "pages", passed: true, detail: "4 pages" };

Deno.test("the check of a class gets the client, what was told last and what is asked of it #core:class_check", async () => {
  const seen: unknown[] = [];
  const step = () => {};
  const it = defineClass({
    lanes: [],
    properties: { pages: u8 },
    open: () => ({ client }),
    check(client, { write, step, properties: { pages } }) {
      seen.push(client, write, step);
      return Promise.resolve({ findings: [passed], figures: { pages }, summary: "well" });
    },
  });
  const opened = it.open(new Map(), { pages: 3 }, "eager");
  opened.update({ pages: 4 });
  const result = { findings: [passed], figures: { pages: 4 }, summary: "well" };
  assertEquals(await opened.check!({ write: true, step }), result);
  assertEquals(seen, [client, true, step]);
  const without = defineClass({ lanes: [], open: () => ({ client }) });
  assertEquals(without.open(new Map(), {}, "eager").check, undefined);
});

Deno.test("a check that gives no result is told so in a sentence #core:class_check", async () => {
  const sound = { findings: [passed], figures: {}, summary: "" };
  const unsound = [
    undefined,
    null,
    "good",
    { ...sound, findings: 3 },
    { ...sound, findings: [{ ...passed, passed: 1 }] },
    { ...sound, findings: [null] },
    { ...sound, figures: null },
    { ...sound, summary: 4 },
  ];
  for (const result of unsound) {
    const it = defineClass({
      lanes: [],
      open: () => ({ client }),
      check: () => Promise.resolve(result as unknown as typeof sound),
    });
    const { check } = it.open(new Map(), {}, "eager");
    await assertRejects(() => check!({ write: false }), TypeError, "gives no result");
  }
});
