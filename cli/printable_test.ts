import { assertEquals } from "@std/assert";
import { firstLine, printable, withPlace } from "./printable.ts";

Deno.test("printable shows what would steer a terminal, and leaves everything else", () => {
  assertEquals(
    printable("\x1b[2J\x9b1m\r\x7f\u202eabc"),
    "\\u{1b}[2J\\u{9b}1m\\u{d}\\u{7f}\\u{202e}abc",
  );
  assertEquals(printable("Müller, 4 µs 🙂\nnext"), "Müller, 4 µs 🙂\nnext");
});

Deno.test("firstLine leaves out all that follows", () => {
  assertEquals(firstLine("it failed\n0000:00:01.0 blk passed"), "it failed");
  assertEquals(firstLine(""), "");
});

Deno.test("withPlace says where it happened, in the same line, and leaves out the rest #cli:place_of_a_failure", () => {
  const failed =
    "the driver failed: Error: no\n    at start (/d/mod.ts:15:11)\n    at other (/d/b.ts:1:1)";
  assertEquals(withPlace(failed), "the driver failed: Error: no, at start (/d/mod.ts:15:11)");
  for (const text of ["it failed", "it failed\n0000:00:01.0 blk passed", ""]) {
    assertEquals(withPlace(text), firstLine(text));
  }
});
