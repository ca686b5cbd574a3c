import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Pair } from "../bus/fake_test.ts";
import { defineClass } from "./mod.ts";

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
  assert(it.open(new Map([["requests", requests]]), told).client === client);
  it.open(new Map([["control", control], ["requests", requests], ["other", lane()]]), told);
  assertEquals(seen.slice(0, 2), [requests, undefined]);
  assertEquals(seen.slice(2, 4), [{}, told]);
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
      () => it.open(lanes, {}),
      TypeError,
      `no lane named ${names.length ? "events" : "requests"}, which its class needs; it has ${has}`,
    );
  }
});

const request = { write: true, step() {}, told: { pages: 4 } };
const passed = { name: "pages", passed: true, detail: "4 pages" };

Deno.test("the check of a class gets the client and what is asked of it, and its result is passed on #core:class_check", async () => {
  const it = defineClass({
    lanes: [],
    open: () => ({ client: { pages: 4 } }),
    check: ({ pages }, { told }) =>
      Promise.resolve({
        findings: [{ ...passed, passed: pages === told.pages }],
        figures: { pages },
        summary: "4 pages",
      }),
  });
  const { client: opened } = it.open(new Map(), {});
  assertEquals(await it.check!(opened, request), {
    findings: [passed],
    figures: { pages: 4 },
    summary: "4 pages",
  });
  assertEquals("check" in defineClass({ lanes: [], open: () => ({ client }) }), false);
});

Deno.test("a check that gives no result is told so in a sentence #core:class_check", async () => {
  const sound = { findings: [passed], figures: {}, summary: "" };
  for (
    const result of [
      undefined,
      null,
      "good",
      { ...sound, findings: 3 },
      {
        ...sound,
        findings: [{ name: "pages", passed: 1, detail: "" }],
      },
      { ...sound, findings: [null] },
      { ...sound, figures: null },
      { ...sound, summary: 4 },
    ]
  ) {
    const it = defineClass({
      lanes: [],
      open: () => ({ client }),
      check: () => Promise.resolve(result as unknown as typeof sound),
    });
    await assertRejects(async () => await it.check!(client, request), TypeError, "gives no result");
  }
});
