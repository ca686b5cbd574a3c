import { assertEquals } from "@std/assert";
import { byteRegisters } from "./byte_registers.ts";
import { disableMsix, enableMsix, findMsix } from "./msix.ts";

/** A function whose MSI-X capability is at 0x98: 3 vectors in BAR 1 at 0x800. */
function msixConfig() {
  const config = byteRegisters(new Uint8Array(256));
  config.write8(0x06, 0x10);
  config.write8(0x34, 0x98);
  config.write16(0x98, 0x11);
  config.write16(0x9a, 2);
  config.write32(0x9c, 0x801);
  return config;
}

Deno.test("findMsix() reads the capability, or says that there is none", () => {
  assertEquals(findMsix(msixConfig()), { capability: 0x98, vectors: 3, bar: 1, offset: 0x800 });
  assertEquals(findMsix(byteRegisters(new Uint8Array(256))), undefined);
});

Deno.test("enableMsix() fills the table while the function is masked, and masks what is not used", () => {
  const config = msixConfig();
  const table = byteRegisters(new Uint8Array(4096).fill(0xee));
  const controls: number[] = [];
  const watched = {
    ...config,
    write16(offset: number, value: number) {
      controls.push(value);
      config.write16(offset, value);
    },
  };
  enableMsix(watched, findMsix(config)!, table, [
    { address: 0x12_c000_000c, data: 0x10005 },
    { address: 0xfee0_0000, data: 7 },
  ]);
  const entry = (vector: number) =>
    [0, 4, 8, 12].map((offset) => table.read32(0x800 + 16 * vector + offset));
  assertEquals(entry(0), [0xc000_000c, 0x12, 0x10005, 0]);
  assertEquals(entry(1), [0xfee0_0000, 0, 7, 0]);
  assertEquals(entry(2)[3], 1);
  assertEquals(table.read32(0x800 + 48), 0xeeeeeeee);
  assertEquals(controls, [0xc000, 0x8000]);
  disableMsix(config, findMsix(config)!);
  assertEquals(config.read16(0x9a) & 0x8000, 0);
});
