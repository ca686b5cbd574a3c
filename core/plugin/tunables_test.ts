import { assertEquals, assertThrows } from "@std/assert";
import {
  checkTunables,
  type Tunable,
  TunableError,
  type Tunables,
  tunablesFor,
} from "./tunables.ts";

const NET: { readonly name: string; readonly tunables: readonly Tunable[] } = {
  name: "vtnet",
  tunables: [
    { name: "csum_disable", usual: false },
    { name: "mq_max_pairs", usual: 0, least: 0, greatest: 16 },
    { name: "order", usual: "spec", words: ["spec", "compact"] },
  ],
};
const DRIVERS = [{ name: "random", tunables: [] }, NET];

Deno.test("tunablesFor() gives what was chosen, and what is usual for the rest", () => {
  assertEquals(tunablesFor(NET, { "vtnet.csum_disable": true, "other.order": "compact" }), {
    csum_disable: true,
    mq_max_pairs: 0,
    order: "spec",
  });
});

Deno.test("checkTunables() takes what can be", () => {
  checkTunables({}, DRIVERS);
  checkTunables(
    { "vtnet.csum_disable": true, "vtnet.mq_max_pairs": 16, "vtnet.order": "compact" },
    DRIVERS,
  );
});

const BAD: readonly [Tunables, string][] = [
  [{ csum_disable: true }, "Cannot set csum_disable to true: its name is no driver's, a dot"],
  [{ "vtnet.csum.disable": true }, "its name is no driver's"],
  [{ "vnet.csum_disable": true }, "drivers random, vtnet"],
  [{ "vtnet.csum": true }, "no such tunable; it has csum_disable, mq_max_pairs, order"],
  [{ "random.csum_disable": true }, "no such tunable; it has none"],
  [{ "vtnet.csum_disable": 1 }, "Cannot set vtnet.csum_disable to 1: wanted true or false"],
  [{ "vtnet.mq_max_pairs": 17 }, "wanted a whole number from 0 to 16"],
  [{ "vtnet.mq_max_pairs": 1.5 }, "wanted a whole number"],
  [{ "vtnet.mq_max_pairs": true }, "wanted a whole number"],
  [{ "vtnet.order": "mixed" }, 'to "mixed": wanted one of spec, compact'],
];

for (const [given, message] of BAD) {
  Deno.test(`checkTunables() refuses ${JSON.stringify(given)}`, () => {
    assertThrows(() => checkTunables(given, DRIVERS), TunableError, message);
  });
}
