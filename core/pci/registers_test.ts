import { assertEquals, assertThrows } from "@std/assert";
import { byteRegisters } from "./byte_registers.ts";
import { checkAccess, subRegisters } from "./registers.ts";

Deno.test("checkAccess() takes what is aligned and inside", () => {
  checkAccess(8, 0, 4);
  checkAccess(8, 7, 1);
  for (const [offset, width] of [[-1, 1], [1, 2], [2, 4], [8, 1], [6, 4], [0.5, 1], [NaN, 1]]) {
    assertThrows(() => checkAccess(8, offset!, width as 1), RangeError, "the window has 8 bytes");
  }
});

Deno.test("subRegisters() is the part, in every width", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => i);
  const part = subRegisters(byteRegisters(bytes), 4, 8);
  assertEquals(part.size, 8);
  assertEquals([part.read8(1), part.read16(2), part.read32(4)], [5, 0x0706, 0x0b0a0908]);
  part.write8(0, 0xaa);
  part.write16(2, 0xbbbb);
  part.write32(4, 0xcccccccc);
  assertEquals([part.read8(0), part.read16(2), part.read32(4)], [0xaa, 0xbbbb, 0xcccccccc]);
  assertThrows(() => part.read8(8), RangeError, "the window has 8 bytes");
});

Deno.test("subRegisters() cuts nothing that is not there", () => {
  const whole = byteRegisters(new Uint8Array(16));
  for (const [start, size] of [[-1, 4], [0, 17], [12, 8], [4, -1]]) {
    assertThrows(() => subRegisters(whole, start!, size!), RangeError, "the window has 16 bytes");
  }
});
