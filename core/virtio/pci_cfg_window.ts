import { capabilities, VENDOR_SPECIFIC } from "../pci/capabilities.ts";
import { readWidth, type Registers, type Width, window, writeWidth } from "../pci/registers.ts";
import type { Structure } from "./capabilities.ts";

const PCI_CFG = 5;
// The capability's fields (virtio 1.4, 4.1.4.9).
const CFG_TYPE = 3;
const BAR = 4;
const OFFSET = 8;
const LENGTH = 12;
const DATA = 16;
const CAPABILITY_BYTES = 20;

/**
 * A structure of a modern device, reached through its configuration space (virtio 1.4, 4.1.4.9): slow, but it works
 * without an address for the BAR. Each access is four to the configuration space, so no other code may use the window
 * meanwhile; a doorbell, which another process rings, cannot be reached like this.
 *
 * @param structure What another capability names: the specification allows nothing else.
 * @returns Undefined if the device has no such window, though it must.
 * @throws PciFault If its capability list is broken.
 */
export function pciCfgWindow(config: Registers, structure: Structure): Registers | undefined {
  const capability = capabilities(config).find(({ id, offset, length }) =>
    id === VENDOR_SPECIFIC && length >= CAPABILITY_BYTES &&
    config.read8(offset + CFG_TYPE) === PCI_CFG
  );
  if (!capability) return undefined;
  /** Points the window at a register; its data is then there. */
  const at = (offset: number, width: Width): number => {
    config.write8(capability.offset + BAR, structure.bar);
    config.write32(capability.offset + OFFSET, structure.offset + offset);
    config.write32(capability.offset + LENGTH, width);
    return capability.offset + DATA;
  };
  return window(
    structure.length,
    (offset, width) => readWidth(config, at(offset, width), width),
    (offset, width, value) => writeWidth(config, at(offset, width), width, value),
  );
}
