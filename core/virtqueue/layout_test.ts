import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DESCRIPTOR_BYTES, layoutSplit, MOST_SEGMENTS, wrongSize } from "./layout.ts";

const PAGE = 4096;
const pageUp = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;

Deno.test("wrongSize() takes the powers of two up to 32768", () => {
  const right = Array.from({ length: 16 }, (_, i) => 1 << i);
  for (const size of right) assertEquals(wrongSize(size), undefined);
  for (const [size, why] of [[0, "whole"], [-1, "whole"], [65536, "whole"], [2.5, "whole"]]) {
    assert(wrongSize(size as number)?.includes(why as string));
  }
  for (const size of [NaN, Infinity, -Infinity]) assert(wrongSize(size)?.includes("whole"));
  for (const size of [3, 6, 255, 32767]) assert(wrongSize(size)?.includes("power of two"));
});

Deno.test("wrongSize() knows nothing else that is right", () => {
  const right = Array.from({ length: 65537 }, (_, size) => size)
    .filter((size) => wrongSize(size) === undefined);
  assertEquals(right.length, 16);
});

Deno.test("layoutSplit() refuses sizes and tables that cannot be", () => {
  for (const size of [0, 3, 65536, NaN]) {
    assertThrows(() => layoutSplit(0, size, 0), RangeError, `Cannot lay out a queue of ${size}`);
  }
  for (const segments of [MOST_SEGMENTS + 1, 1000, Infinity]) {
    assertThrows(() => layoutSplit(0, 8, segments), RangeError, "more than 256");
  }
});

Deno.test("layoutSplit() lays out the smallest and the largest queue", () => {
  const { descriptors, driver, device, segments, end } = layoutSplit(0, 1, 0);
  assertEquals([descriptors, driver, device, segments, end], [0, 16, PAGE, 1, 2 * PAGE]);
  const largest = layoutSplit(PAGE, 32768, 0);
  assertEquals(largest.driver, PAGE + 16 * 32768);
  assertEquals(largest.device, PAGE + 16 * 32768 + 17 * PAGE);
  assertEquals(largest.end, largest.device + 65 * PAGE);
});

Deno.test("layoutSplit() aligns its parts, and they do not touch", () => {
  const size = fc.integer({ min: 0, max: 15 }).map((exponent) => 1 << exponent);
  const segments = fc.integer({ min: 0, max: MOST_SEGMENTS });
  const start = fc.nat(1000).map((page) => page * PAGE);
  fc.assert(fc.property(start, size, segments, (start, size, segments) => {
    const layout = layoutSplit(start, size, segments);
    // Virtio 1.4, 2.7: alignments of 16, 2 and 4; sizes of 16, 2 and 8 an entry.
    assertEquals([layout.size, layout.descriptors], [size, start]);
    assertEquals(layout.descriptors % 16, 0);
    assertEquals(layout.driver % 2, 0);
    assertEquals(layout.device % PAGE, 0);
    assertEquals(layout.end % PAGE, 0);
    const tables = DESCRIPTOR_BYTES * layout.segments * size;
    const parts = [
      [layout.descriptors, 16 * size],
      [layout.driver, 6 + 2 * size],
      [layout.device, 6 + 8 * size],
      ...(layout.indirect === undefined ? [] : [[layout.indirect, tables]]),
      [layout.end, 0],
    ].toSorted(([a], [b]) => a! - b!) as [number, number][];
    for (const [i, [offset, bytes]] of parts.slice(0, -1).entries()) {
      const next = parts[i + 1]![0];
      assert(offset + bytes <= next, "parts overlap");
      // What the device may write shares no page with what it may not.
      if (offset === layout.device) assert(pageUp(offset + bytes) <= next);
    }
    assertEquals(layout.indirect === undefined, segments === 0);
    if (layout.indirect === undefined) return assertEquals(layout.segments, size);
    assert(layout.segments >= segments && layout.segments <= MOST_SEGMENTS);
    const table = DESCRIPTOR_BYTES * layout.segments;
    for (let i = 0; i < size; i += Math.max(1, size >> 4)) {
      const at = layout.indirect + i * table;
      assertEquals(Math.floor(at / PAGE), Math.floor((at + table - 1) / PAGE), "straddles a page");
    }
  }));
});
