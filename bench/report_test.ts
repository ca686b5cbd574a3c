import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { figure, measurement } from "./canned_test.ts";
import { PUBLISHED } from "./published.ts";
import { report } from "./report.ts";

const SUITES = [{ name: "ring", what: "a ring" }, { name: "blk", what: "a disk" }];
const beside = { yardstick: "C" };
const FIGURES = [
  figure("C", [4, 5, 5, 5, 6], beside),
  figure("TypeScript", [18, 20, 20, 21, 30], beside),
  figure("C", [7, 7, 7], { ...beside, at: 1 }),
];

Deno.test("report: the page has figures, spread, multiples, machine, date, load, and what is missing #bench:report", () => {
  const missing = [{ suite: "net", why: "there is no testpmd" }];
  const { page, pictures } = report(measurement(FIGURES, { missing }), SUITES, "speed");
  assertStringIncludes(page, "| split | 32 | 5.00 (5.00-5.00) | 20.0 (20.0-21.0)  4.20x |");
  assertStringIncludes(page, "| split | 1 | 7.00 (7.00-7.00) | - |");
  assertStringIncludes(page, "Multiples are of C.");
  assertStringIncludes(page, "2026-11-28T12:00:00.000Z, revision 0123abc");
  assertStringIncludes(page, "2 processors of A processor, 4096 MiB, Linux 6.1; deno 2.9.6");
  assertStringIncludes(page, "Load 0 before and 1 after");
  assertStringIncludes(page, "- net: there is no testpmd");
  assert(!page.includes("busy"));
  for (const { what, date } of PUBLISHED) {
    assertMatch(page, new RegExp(`${RegExp.escape(what)}.*${date}`));
  }
  // A suite that was not measured has no section.
  assert(!page.includes("## blk"));
  assertEquals([...pictures.keys()], ["ring.svg"]);
  assertStringIncludes(page, "(speed/ring.svg)");
});

Deno.test("report: a busy machine is said before any figure", () => {
  const { page } = report(
    measurement(FIGURES, { load: { before: 7.5, after: 9 } }),
    SUITES,
    "speed",
  );
  assert(page.indexOf("busy") > 0 && page.indexOf("busy") < page.indexOf("## ring"));
});

Deno.test("report: the picture has each row and contender, and the same measurement gives the same one", () => {
  const draw = () => report(measurement(FIGURES), SUITES, "speed").pictures.get("ring.svg")!;
  const svg = draw();
  for (
    const text of [
      "C",
      "TypeScript",
      "split, batch 32",
      "split, batch 1",
      "ns a request; less is better",
    ]
  ) {
    assertStringIncludes(svg, `>${text}</text>`);
  }
  assertEquals(draw(), svg);
});
