import { assertEquals, assertThrows } from "@std/assert";
import { byteRegisters } from "../pci/byte_registers.ts";
import type { Registers } from "../pci/registers.ts";
import { pciCfgWindow } from "./pci_cfg_window.ts";

const AT = 0x84;
const STRUCTURE = { bar: 4, offset: 0x2000, length: 0x10 };

/** A configuration space whose window leads to `target`, and what was done through it. */
function windowed(target: Registers, capabilityBytes = 20) {
  const config = byteRegisters(new Uint8Array(256));
  config.write8(0x06, 0x10);
  config.write8(0x34, AT);
  config.write16(AT, 9);
  config.write8(AT + 2, capabilityBytes);
  config.write8(AT + 3, 5);
  const log: string[] = [];
  const through = (verb: string) => {
    const [bar, offset, length] = [
      config.read8(AT + 4),
      config.read32(AT + 8),
      config.read32(AT + 12),
    ];
    log.push(`${verb} ${length} at ${bar}:0x${offset.toString(16)}`);
    return offset - STRUCTURE.offset;
  };
  const data = AT + 16;
  const space: Registers = {
    ...config,
    read8: (at) => at === data ? target.read8(through("read")) : config.read8(at),
    read16: (at) => at === data ? target.read16(through("read")) : config.read16(at),
    read32: (at) => at === data ? target.read32(through("read")) : config.read32(at),
    write8: (at, v) => at === data ? target.write8(through("write"), v) : config.write8(at, v),
    write16: (at, v) => at === data ? target.write16(through("write"), v) : config.write16(at, v),
    write32: (at, v) => at === data ? target.write32(through("write"), v) : config.write32(at, v),
  };
  return { space, log };
}

Deno.test("pciCfgWindow() reads and writes a structure in its natural widths", () => {
  const target = byteRegisters(Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i));
  const { space, log } = windowed(target);
  const window = pciCfgWindow(space, STRUCTURE)!;
  assertEquals(window.size, 16);
  assertEquals([window.read8(3), window.read16(2), window.read32(12)], [0x13, 0x1312, 0x1f1e1d1c]);
  window.write8(1, 0xaa);
  window.write16(4, 0xbbbb);
  window.write32(8, 0xcccccccc);
  assertEquals([target.read32(0), target.read32(4), target.read32(8)], [
    0x1312aa10,
    0x1716bbbb,
    0xcccccccc,
  ]);
  assertEquals(log, [
    "read 1 at 4:0x2003",
    "read 2 at 4:0x2002",
    "read 4 at 4:0x200c",
    "write 1 at 4:0x2001",
    "write 2 at 4:0x2004",
    "write 4 at 4:0x2008",
  ]);
  assertThrows(() => window.read32(14), RangeError);
  assertThrows(() => window.write8(16, 0), RangeError);
  assertEquals(log.length, 6, "nothing outside the structure is touched");
});

Deno.test("pciCfgWindow() needs a whole capability", () => {
  const target = byteRegisters(new Uint8Array(16));
  assertEquals(pciCfgWindow(windowed(target, 16).space, STRUCTURE), undefined);
  assertEquals(pciCfgWindow(byteRegisters(new Uint8Array(256)), STRUCTURE), undefined);
});
