import { assertEquals } from "@std/assert";
import { byteRegisters } from "../pci/byte_registers.ts";
import { vendorCapabilities } from "./vendor_capabilities.ts";

/** What a device with these capabilities says; each is given from its length on. */
function find(...capabilities: readonly (readonly number[])[]) {
  const bytes = new Uint8Array(256);
  bytes[0x06] = 0x10;
  bytes[0x34] = 0x40;
  capabilities.forEach((rest, i) => {
    const at = 0x40 + 16 * i;
    bytes.set([9, i === capabilities.length - 1 ? 0 : at + 16, ...rest], at);
  });
  return vendorCapabilities(byteRegisters(bytes)).map(({ vendor, data }) => [vendor, ...data]);
}

Deno.test("vendorCapabilities() decodes all of them, in their order", () => {
  assertEquals(find([12, 9, 0x36, 0x1b, 1, 2, 3, 4, 5, 6], [8, 9, 0x36, 0x1b, 7, 8]), [
    [0x1b36, 1, 2, 3, 4, 5, 6],
    [0x1b36, 7, 8],
  ]);
});

Deno.test("vendorCapabilities() passes over what cannot be one", () => {
  const good = [8, 9, 0x36, 0x1b, 7, 8];
  for (
    const bad of [
      [8, 8, 0x36, 0x1b], // shared memory
      [8, 9, 0xf4, 0x1a], // the one id that all devices share
      [9, 9, 0x36, 0x1b], // no multiple of 4
      [4, 9, 0x36, 0x1b],
      [0, 9],
    ]
  ) {
    assertEquals(find(bad, good), [[0x1b36, 7, 8]]);
  }
  assertEquals(find(), []);
});
