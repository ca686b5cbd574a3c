import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { figure, measurement } from "./canned_test.ts";
import { compare, tell } from "./compare.ts";
import type { Figure } from "./figure.ts";

/** What is said of one figure. */
function verdict(before: readonly Figure[], after: readonly Figure[]): string[] {
  return compare(measurement(before), measurement(after)).changes.map(({ verdict }) => verdict);
}

Deno.test("compare: a change is said where it exceeds the spread of both, and only there #bench:compare", () => {
  const before = [figure("ours", [19, 20, 20, 20, 21])];
  assertEquals(verdict(before, [figure("ours", [14, 15, 15, 15, 16])]), ["better"]);
  assertEquals(verdict(before, [figure("ours", [29, 30, 30, 30, 31])]), ["worse"]);
  assertEquals(verdict(before, [figure("ours", [19, 20, 21, 22, 22])]), ["same"]);
  // The median is as far off as above, and so are the quarters.
  assertEquals(verdict(before, [figure("ours", [10, 10, 15, 22, 25])]), ["same"]);
});

Deno.test("compare: what is better depends on the unit", () => {
  const more = { better: "more", unit: "reads" } as const;
  const before = [figure("ours", [20, 20, 20], more)];
  assertEquals(verdict(before, [figure("ours", [30, 30, 30], more)]), ["better"]);
  assertEquals(verdict(before, [figure("ours", [10, 10, 10], more)]), ["worse"]);
});

Deno.test("compare: with a yardstick, the mood of the machine is no change", () => {
  const beside = { yardstick: "C" };
  const run = (mood: number, ours: number) => [
    figure("C", [5 * mood, 5 * mood, 5 * mood], beside),
    figure("ours", [ours * mood, ours * mood, ours * mood], beside),
  ];
  assertEquals(verdict(run(1, 20), run(3, 20)).at(-1), "same");
  assertEquals(verdict(run(1, 20), run(3, 10)).at(-1), "better");
});

Deno.test("compare: says what only one of both has, but not what was not asked for", () => {
  const both = [figure("ours", [20]), figure("C", [5])];
  const elsewhere = figure("ours", [1], { suite: "blk", subject: "a disk" });
  const { only } = compare(measurement([...both, elsewhere]), measurement([both[0]!]));
  assertEquals(only, ["only in the earlier: ring: split, batch 32, C"]);
});

Deno.test("compare: says when the machine was busy", () => {
  const busy = measurement([figure("ours", [20])], { load: { before: 7, after: 7 } });
  const idle = measurement([figure("ours", [20])]);
  assertStringIncludes(tell(busy, idle), "busy when the earlier was measured (load 7.0)");
  assertStringIncludes(tell(idle, busy), "busy when the later was measured");
  assert(!tell(idle, idle).includes("busy"));
});

Deno.test("compare: in words, with the machine if that was another", () => {
  const before = measurement([figure("ours", [20, 20, 20]), figure("C", [5, 5, 5])], {
    machine: { ...measurement([]).machine, processor: "Another" },
  });
  const text = tell(before, measurement([figure("ours", [10, 10, 10]), figure("C", [5, 5, 5])]));
  assertStringIncludes(text, "another machine: Another");
  assertMatch(text, /^better: ring: split, batch 32, ours: 0\.50 times as many ns a request/m);
  assertMatch(text, /^1 of 2 figures have changed since 2026-11-28.* \(0123abc\); of 1 /m);
});
