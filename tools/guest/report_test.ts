import { assertEquals } from "@std/assert";
import { understand } from "./report.ts";

Deno.test("understand takes a check apart at its verdict", () => {
  assertEquals(understand("@@CHECK blk packed: read back ok 4096 bytes"), {
    kind: "check",
    name: "blk packed: read back",
    passed: true,
    detail: "4096 bytes",
  });
  assertEquals(understand("@@CHECK a lookout FAIL it is not ok"), {
    kind: "check",
    name: "a lookout",
    passed: false,
    detail: "it is not ok",
  });
});

Deno.test("understand finds a report behind the rest of a torn line", () => {
  assertEquals(understand("[    1.0] kernel noise @@RC=124"), { kind: "end", status: 124 });
});

Deno.test("understand takes what is only similar for talk", () => {
  for (const line of ["@@CHECK without verdict", "@@DISK blk 0 1", "@@", "CHECK a ok", ""]) {
    assertEquals(understand(line), { kind: "talk" }, line);
  }
});
