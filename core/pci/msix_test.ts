import { assert, assertEquals } from "@std/assert";
import { byteRegisters } from "./byte_registers.ts";
import { disableMsix, enableMsix, findMsix, isMsixEnabled } from "./msix.ts";

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

const barSize = (bar: number): number | undefined => bar === 1 ? 4096 : undefined;

Deno.test("findMsix() reads the capability, or says that there is none", () => {
  assertEquals(findMsix(msixConfig(), barSize), {
    capability: 0x98,
    vectors: 3,
    bar: 1,
    offset: 0x800,
  });
  assertEquals(findMsix(byteRegisters(new Uint8Array(256)), barSize), undefined);
});

Deno.test("findMsix() takes a table only if it is inside a memory BAR (D-17)", () => {
  const found = (vectors: number, table: number, size = barSize) => {
    const config = msixConfig();
    config.write16(0x9a, vectors - 1);
    config.write32(0x9c, table);
    return findMsix(config, size)?.vectors;
  };
  assertEquals(found(3, 4096 - 48 + 1), 3);
  assertEquals(found(3, 4096 - 40 + 1), undefined);
  assertEquals(found(3, 4096 + 1), undefined);
  assertEquals(found(3, 0xfffffff8 + 1), undefined);
  assertEquals(found(2048, 1), undefined);
  assertEquals(found(2048, 1, () => 32768), 2048);
  for (const bar of [0, 2, 5, 6, 7]) assertEquals(found(1, bar), undefined);
});

Deno.test("findMsix() finds nothing in a capability that the list's area cuts off", () => {
  const config = msixConfig();
  config.write8(0x34, 0xfc);
  config.write16(0xfc, 0x11);
  assertEquals(findMsix(config, barSize), undefined);
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
  enableMsix(watched, findMsix(config, barSize)!, table, [
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
  assert(isMsixEnabled(config));
  disableMsix(config, findMsix(config, barSize)!);
  assert(!isMsixEnabled(config));
  assertEquals(config.read16(0x9a) & 0x8000, 0);
});
