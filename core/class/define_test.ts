import { assert, assertEquals, assertThrows } from "@std/assert";
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
