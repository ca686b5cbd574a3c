import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { passed } from "./event_index.ts";

/** The definition (virtio 1.4, 2.7.10): one of the entries from `before` up to, not including, `now` is `event`. */
function bruteForce(event: number, now: number, before: number): boolean {
  for (let entry = before; entry !== now; entry = entry + 1 & 0xffff) {
    if (entry === event) return true;
  }
  return false;
}

Deno.test("passed() is what its definition says, around every wrap", () => {
  const around = [0, 1, 2, 255, 256, 32767, 32768, 65280, 65534, 65535];
  for (const before of around) {
    for (let moved = 0; moved <= 300; moved++) {
      const now = before + moved & 0xffff;
      for (let event = before - 3; event <= before + moved + 3; event++) {
        const wrapped = event & 0xffff;
        assertEquals(passed(wrapped, now, before), bruteForce(wrapped, now, before));
      }
    }
  }
});

Deno.test("passed() is what its definition says, anywhere", () => {
  const index = fc.integer({ min: 0, max: 65535 });
  fc.assert(
    fc.property(index, index, index, (event, now, before) => {
      assertEquals(passed(event, now, before), bruteForce(event, now, before));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("passed() is never true for an index that did not move", () => {
  for (let event = 0; event <= 65535; event++) assert(!passed(event, 7, 7));
});
