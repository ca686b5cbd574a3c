import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { byteRegisters } from "./byte_registers.ts";
import { capabilities, MSI_X, VENDOR_SPECIFIC } from "./capabilities.ts";
import { PciFault } from "./fault.ts";

/** A configuration space with a capability list; `bytes` says what stands where. */
function config(bytes: Record<number, readonly number[]>, size = 256) {
  const space = new Uint8Array(size);
  space[0x06] = 0x10;
  for (const [offset, values] of Object.entries(bytes)) space.set(values, Number(offset));
  return byteRegisters(space);
}

Deno.test("capabilities() follows the list in its order", () => {
  const space = config({ 0x34: [0x98], 0x98: [MSI_X, 0x40], 0x40: [VENDOR_SPECIFIC, 0, 16, 1] });
  assertEquals(capabilities(space), [
    { id: MSI_X, offset: 0x98, length: 0x68 },
    { id: VENDOR_SPECIFIC, offset: 0x40, length: 16 },
  ]);
});

Deno.test("capabilities() cuts a length at the end of the area", () => {
  const [only] = capabilities(config({ 0x34: [0xf8], 0xf8: [VENDOR_SPECIFIC, 0, 0xff, 1] }));
  assertEquals(only?.length, 8);
});

Deno.test("capabilities() finds nothing without a list", () => {
  assertEquals(capabilities(config({ 0x06: [0], 0x34: [0x40] })), []);
  assertEquals(capabilities(config({ 0x34: [0] })), []);
});

Deno.test("capabilities() finds nothing where only the header can be seen", () => {
  assertEquals(capabilities(config({ 0x34: [0x40] }, 64)), []);
});

Deno.test("capabilities() walks a full list of 48", () => {
  const full = Array.from({ length: 48 }, (_, i) => [1, i === 47 ? 0 : 0x44 + 4 * i, 0, 0]).flat();
  assertEquals(capabilities(config({ 0x34: [0x40], 0x40: full })).length, 48);
});

Deno.test("capabilities() refuses a circle (D-01)", () => {
  const self = config({ 0x34: [0x40], 0x40: [1, 0x40] });
  const fault = assertThrows(() => capabilities(self), PciFault, "leads in a circle");
  assertEquals(fault.offset, 0x41);
  const two = config({ 0x34: [0x40], 0x40: [1, 0x50], 0x50: [1, 0x40] });
  assertThrows(() => capabilities(two), PciFault, "leads in a circle");
});

Deno.test("capabilities() refuses pointers that cannot be (D-02)", () => {
  for (
    const [pointer, why] of [[0x13, "multiple"], [0x3c, "header"], [0xff, "multiple"]] as const
  ) {
    const fault = assertThrows(() => capabilities(config({ 0x34: [pointer] })), PciFault, why);
    assertEquals(fault.offset, 0x34);
  }
  assertThrows(() => capabilities(config({ 0x34: [0x80] }, 128)), PciFault, "leads behind 0x80");
});

Deno.test("capabilities() takes any configuration space without hanging", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 256, maxLength: 256 }), (bytes) => {
      const space = Uint8Array.from(bytes);
      space[0x06] = space[0x06]! | 0x10;
      try {
        const found = capabilities(byteRegisters(space));
        assert(found.length <= 48);
        for (const { offset, length } of found) assert(offset >= 0x40 && offset + length <= 256);
      } catch (error) {
        if (!(error instanceof PciFault)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
