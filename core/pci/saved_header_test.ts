import { assertEquals } from "@std/assert";
import { byteRegisters } from "./byte_registers.ts";
import { saveHeader } from "./saved_header.ts";

Deno.test("saveHeader() writes what has changed, and turns the function on last", () => {
  const bytes = new Uint8Array(256).map((_, i) => i);
  const config = byteRegisters(bytes);
  const writes: number[] = [];
  const restore = saveHeader({
    ...config,
    write16: (offset, value) => (writes.push(offset), config.write16(offset, value)),
    write32: (offset, value) => (writes.push(offset), config.write32(offset, value)),
  });
  restore();
  assertEquals(writes, []);
  const before = bytes.slice();
  for (const offset of [0x04, 0x18, 0x24, 0x3f, 0x40]) bytes[offset] = 0xee;
  restore();
  assertEquals(writes, [0x18, 0x24, 0x3c, 0x04]);
  assertEquals(bytes[0x40], 0xee);
  before[0x40] = 0xee;
  assertEquals(bytes, before);
});
