import type { ConfigAccess } from "../../pci/enumerate.ts";
import { checkAccess } from "../../pci/registers.ts";
import type { Qtest, Width } from "./qtest.ts";

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const ENABLE = 0x80000000;
const SIZE = 256;

/**
 * Configuration space through the two ports that both machines have (configuration mechanism #1, PCI 3.0,
 * 3.2.2.3.2): select a register, then read or write it.
 */
export function configPorts(qtest: Qtest): ConfigAccess {
  return ({ bus, device, function: number }) => {
    const selector = ENABLE + (bus << 16) + (device << 11) + (number << 8);
    const select = (offset: number, width: Width) => {
      checkAccess(SIZE, offset, width);
      qtest.out(4, CONFIG_ADDRESS, selector + (offset & ~3));
      return CONFIG_DATA + (offset & 3);
    };
    const write = (offset: number, width: Width, value: number) =>
      qtest.out(width, select(offset, width), value);
    return {
      size: SIZE,
      read8: (offset) => qtest.in(1, select(offset, 1)),
      read16: (offset) => qtest.in(2, select(offset, 2)),
      read32: (offset) => qtest.in(4, select(offset, 4)),
      write8: (offset, value) => write(offset, 1, value),
      write16: (offset, value) => write(offset, 2, value),
      write32: (offset, value) => write(offset, 4, value),
    };
  };
}
