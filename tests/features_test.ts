/**
 * The table of what is proved: made from the names of the tests, and up to date.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { page, proofs, read, written } from "../tools/features.ts";

Deno.test("proofs() finds tags in names, and how each test proves them", () => {
  const text = `
    Deno.test("flushes #blk:FLUSH", () => {});
    qemuTest(\`discards #blk:DISCARD #blk:T_DISCARD (\${how})\`, () => {});`;
  assertEquals(proofs("tests/blk_test.ts", text), [
    { device: "blk", row: "FLUSH", way: "simulation", file: "tests/blk_test.ts" },
    { device: "blk", row: "DISCARD", way: "QEMU", file: "tests/blk_test.ts" },
    { device: "blk", row: "T_DISCARD", way: "QEMU", file: "tests/blk_test.ts" },
  ]);
  assertEquals(proofs("plugins/blk/mod_test.ts", text)[0]!.way, "unit");
  assertEquals(proofs("tests/guest/modern.ts", text)[0]!.way, "guest");
});

Deno.test("page() says what is not proved, and names each file once a way", () => {
  const proof = { device: "blk", row: "FLUSH", way: "QEMU", file: "tests/blk_test.ts" } as const;
  const text = page({ blk: { FLUSH: "flush", RO: "read-only" } }, [proof, proof]);
  assertStringIncludes(text, "1 of 2 rows are proved.");
  assertStringIncludes(text, "| FLUSH | flush | QEMU: [blk_test.ts](../tests/blk_test.ts) |");
  assertStringIncludes(text, "| RO | read-only | **not proved** |");
});

Deno.test("docs/features.md is what the tests say; if not: deno task features", () => {
  const { text, unknown } = read();
  assertEquals(unknown, []);
  assertEquals(written(), text);
});
