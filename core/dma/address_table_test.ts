import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { addressTable, type DmaRun, PAGE, PAGE_SHIFT } from "./address_table.ts";

const page = fc.oneof(
  fc.nat(20),
  fc.integer({ min: 2 ** 20 - 10, max: 2 ** 20 + 10 }),
  fc.nat(2 ** 40),
);
const run: fc.Arbitrary<DmaRun> = fc.record({
  address: page.map((number) => number * PAGE),
  length: fc.integer({ min: 1, max: 40 }).map((pages) => pages * PAGE),
});

Deno.test("addressTable() says what the device calls each page", () => {
  fc.assert(fc.property(fc.array(run, { maxLength: 12 }), (runs) => {
    const { low, high, run: rest } = addressTable(runs);
    let at = 0;
    for (const { address, length } of runs) {
      for (let done = 0; done < length; done += PAGE, at++) {
        assertEquals(high[at]! * 2 ** 32 + low[at]!, address + done);
        assertEquals(rest[at], length - done);
      }
    }
    assertEquals([low.length, high.length, rest.length], [at, at, at]);
  }));
});

Deno.test("addressTable() carries across 4 GiB", () => {
  const { low, high } = addressTable([{ address: 2 ** 32 - PAGE, length: 2 * PAGE }]);
  assertEquals([[...high], [...low]], [[0, 1], [2 ** 32 - PAGE, 0]]);
});

Deno.test("addressTable() of nothing is empty", () => {
  assertEquals(addressTable([]).low.length, 0);
});

Deno.test("addressTable() refuses what is not whole pages", () => {
  const wrong: readonly DmaRun[] = [
    { address: 1, length: PAGE },
    { address: -PAGE, length: PAGE },
    { address: 2 ** 53, length: PAGE },
    { address: NaN, length: PAGE },
    { address: 0.5, length: PAGE },
    { address: 0, length: 0 },
    { address: 0, length: -PAGE },
    { address: 0, length: PAGE + 1 },
    { address: 0, length: NaN },
  ];
  for (const each of wrong) {
    assertThrows(() => addressTable([each]), RangeError);
    assertThrows(() => addressTable([{ address: 0, length: 4 * PAGE }, each]), RangeError);
  }
});

Deno.test("a page is 4096 bytes", () => {
  assert(PAGE === 4096 && 1 << PAGE_SHIFT === PAGE);
});
