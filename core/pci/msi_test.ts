import { assertEquals, assertThrows } from "@std/assert";
import { byteRegisters } from "./byte_registers.ts";
import { disableMsi, enableMsi, findMsi, isMsiEnabled } from "./msi.ts";

/** A configuration space with an MSI capability at 0x50, whose control word begins as `control`. */
function space(control: number, at = 0x50) {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x06, 1 << 4, true);
  view.setUint8(0x34, at);
  view.setUint8(at, 0x05);
  view.setUint16(at + 2, control, true);
  return { config: byteRegisters(bytes), view };
}

Deno.test("MSI is turned on with one message, of 32 or 64 bits, and off again", () => {
  // Both could send 8 messages.
  for (
    const [control, address, words] of [
      [0x0036, 0xfebf_000c, [0xfebf_000c, 7]],
      [0x00b6, 0x1_febf_000c, [0xfebf_000c, 1, 7]],
    ] as const
  ) {
    const { config, view } = space(control);
    const msi = findMsi(config)!;
    assertEquals(isMsiEnabled(config, msi), false);
    enableMsi(config, msi, { address, data: 7 });
    assertEquals(view.getUint16(0x52, true), control & ~0x70 | 1);
    assertEquals(words.map((_, i) => view.getUint32(0x54 + 4 * i, true)), [...words]);
    assertEquals(isMsiEnabled(config, msi), true);
    disableMsi(config, msi);
    assertEquals(isMsiEnabled(config, msi), false);
  }
});

Deno.test("a message that the function cannot send is refused", () => {
  const { config } = space(0);
  const msi = findMsi(config)!;
  assertThrows(() => enableMsi(config, msi, { address: 2 ** 32, data: 1 }), RangeError, "MSI");
  assertThrows(() => enableMsi(config, msi, { address: 16, data: 0x1_0000 }), RangeError, "MSI");
  assertEquals(isMsiEnabled(config, msi), false);
});

Deno.test("a function without MSI, or with half of it, has none", () => {
  assertEquals(findMsi(byteRegisters(new Uint8Array(256))), undefined);
  assertEquals(findMsi(space(1 << 7, 0xf4).config), undefined);
});
