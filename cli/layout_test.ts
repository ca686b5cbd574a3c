import { assertEquals } from "@std/assert";
import {
  clipped,
  columnsOf,
  definitions,
  factLines,
  paragraphs,
  table,
  widthOf,
  wrapped,
} from "./layout.ts";

Deno.test("wrapped keeps words whole, and indents all lines but the first #cli:width", () => {
  assertEquals(wrapped("one two three", 7), ["one two", "three"]);
  assertEquals(wrapped("one two three", 7, 2), ["one two", "  three"]);
  assertEquals(wrapped("incomprehensibilities are", 7), ["incomprehensibilities", "are"]);
  assertEquals(wrapped("", 7), [""]);
});

Deno.test("clipped tells that something is missing", () => {
  assertEquals([clipped("abcdef", 6), clipped("abcdefg", 6)], ["abcdef", "abcde…"]);
  assertEquals([clipped("ab cdefg", 4), clipped("abc", undefined)], ["ab…", "abc"]);
});

Deno.test("paragraphs are laid out anew, but for lines that begin with a space", () => {
  assertEquals(
    paragraphs(["one two", "three", "", "four", "  five   six seven", "eight"], 9),
    ["one two", "three", "", "four", "  five   six seven", "eight"],
  );
  assertEquals(paragraphs(["one", "two"], 9), ["one two"]);
});

Deno.test("definitions stand side by side, and beneath each other where there is no room", () => {
  const rows = [["-a", "the first of them"], ["--longest-of-all", "the second"]] as const;
  assertEquals(definitions(rows, 80), [
    "  -a                the first of them",
    "  --longest-of-all  the second",
  ]);
  assertEquals(definitions(rows, 40), [
    "  -a            the first of them",
    "  --longest-of-all",
    "                the second",
  ]);
  assertEquals(definitions(rows, 20), [
    "  -a",
    "    the first of",
    "    them",
    "  --longest-of-all",
    "    the second",
  ]);
});

Deno.test("table cuts the last column only, and leaves it out where nothing could be read #cli:width", () => {
  const rows = [["00:01.0", "blk", "Virtio 1.0 block device"], ["00:02.0", "-", ""]];
  assertEquals(table(rows, undefined), ["00:01.0  blk  Virtio 1.0 block device", "00:02.0  -"]);
  assertEquals(table(rows, 30), ["00:01.0  blk  Virtio 1.0 bloc…", "00:02.0  -"]);
  assertEquals(table(rows, 20), ["00:01.0  blk", "00:02.0  -"]);
  assertEquals(table([], 80), []);
});

Deno.test("columnsOf: COLUMNS before the terminal, and no limit where there is none #cli:width", () => {
  assertEquals(columnsOf({}, undefined), undefined);
  assertEquals(columnsOf({}, 100), 100);
  assertEquals(columnsOf({}, 0), 80);
  assertEquals(columnsOf({}, 3), 20);
  assertEquals(columnsOf({ COLUMNS: "40" }, 100), 40);
  assertEquals(columnsOf({ COLUMNS: "40" }, undefined), 40);
  assertEquals(columnsOf({ COLUMNS: "x" }, 100), 100);
});

Deno.test("widthOf counts columns, not letters", () => {
  assertEquals(["abc", "ü", "u\u0308", "漢字", "🙂", ""].map(widthOf), [3, 1, 1, 4, 2, 0]);
});

Deno.test("factLines: a column as wide as the names, and all that is said of each #cli:facts", () => {
  const facts = [["name", "a  disk"], ["write_zeroes_sectors", "0, 1"], [
    "none",
    undefined,
  ]] as const;
  assertEquals(factLines(facts, undefined), [
    "name                 a  disk",
    "write_zeroes_sectors 0, 1",
  ]);
  assertEquals(factLines([["queue 0", "128 entries, vector 1"], ["error", "a\nb"]], 31), [
    "queue 0        128 entries,",
    "               vector 1",
    "error          a",
    "               b",
  ]);
  assertEquals(factLines([["queue 0", "128 entries, vector 1"]], 20), [
    "queue 0        128 entries, vector 1",
  ]);
});
