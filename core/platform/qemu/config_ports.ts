import type { ConfigAccess } from "../../pci/enumerate.ts";
import { window } from "../../pci/registers.ts";
import type { Qtest } from "./qtest.ts";

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
    const select = (offset: number) => {
      qtest.out(4, CONFIG_ADDRESS, selector + (offset & ~3));
      return CONFIG_DATA + (offset & 3);
    };
    return window(
      SIZE,
      (offset, width) => qtest.in(width, select(offset)),
      (offset, width, value) => qtest.out(width, select(offset), value),
    );
  };
}
