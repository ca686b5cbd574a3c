import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { SparseMemory } from "./sparse_memory.ts";

Deno.test("SparseMemory is zero where nothing was written, and takes no space for it", () => {
  const memory = new SparseMemory();
  const bytes = new Uint8Array(8).fill(9);
  memory.read(2 ** 50, bytes);
  assertEquals(bytes, new Uint8Array(8));
  assertEquals(memory.allocated, 0);
  memory.write(2 ** 50, Uint8Array.of(1));
  assertEquals(memory.allocated, 65536);
  memory.clear(2 ** 50, 65536);
  assertEquals(memory.allocated, 0);
});

Deno.test("SparseMemory behaves as plain memory does", () => {
  const LENGTH = 200_000;
  const range = fc.record({ at: fc.nat(LENGTH), length: fc.nat(80_000), fill: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (steps) => {
      const plain = new Uint8Array(LENGTH);
      const memory = new SparseMemory();
      for (const { at, length, fill } of steps) {
        const bytes = new Uint8Array(Math.min(length, LENGTH - at)).fill(fill);
        plain.set(bytes, at);
        if (fill % 3 === 0) {
          plain.fill(0, at, at + bytes.length);
          memory.clear(at, bytes.length);
        } else memory.write(at, bytes);
      }
      const all = new Uint8Array(LENGTH).fill(0xaa);
      memory.read(0, all);
      // Compared by hand: assertEquals is slow on so many bytes.
      if (all.some((byte, i) => byte !== plain[i])) assertEquals(all, plain);
    }),
    { numRuns: 60 },
  );
});
