import { capabilities } from "./capabilities.ts";
import type { Message } from "./msix.ts";
import type { Registers } from "./registers.ts";

/** Where a function has its message-signalled interrupt (PCI 3.0, 6.8.1). Of those it may have, one is used. */
export interface Msi {
  /** Offset of the capability in the configuration space. */
  readonly capability: number;
  /** Whether its message may go above 4 GiB. */
  readonly wide: boolean;
}

/** Capability of message-signalled interrupts without a table. */
const MSI = 0x05;

const MESSAGE_CONTROL = 2;
const ADDRESS = 4;
const WIDE = 1 << 7;
const ENABLE = 1 << 0;
/** How many messages of those that the function may send are used: one. */
const MULTIPLE = 0x7 << 4;

/**
 * Finds the MSI capability of a function; undefined if it has none that can be used.
 *
 * @throws {PciFault} If its capability list is broken.
 */
export function findMsi(config: Registers): Msi | undefined {
  const found = capabilities(config).find(({ id }) => id === MSI);
  if (!found) return undefined;
  const wide = (config.read16(found.offset + MESSAGE_CONTROL) & WIDE) !== 0;
  return found.length < (wide ? 14 : 10) ? undefined : { capability: found.offset, wide };
}

/**
 * Turns MSI on.
 *
 * @param message Its data has 16 bits here.
 * @throws RangeError If the function cannot send that message.
 */
export function enableMsi(config: Registers, msi: Msi, { address, data }: Message): void {
  const upper = Math.floor(address / 2 ** 32);
  if (data > 0xffff || (upper !== 0 && !msi.wide)) {
    throw new RangeError(
      `Cannot signal by MSI: the function cannot write ${data} to address ${address}`,
    );
  }
  const { capability, wide } = msi;
  config.write32(capability + ADDRESS, address % 2 ** 32);
  if (wide) config.write32(capability + ADDRESS + 4, upper);
  config.write16(capability + ADDRESS + (wide ? 8 : 4), data);
  const control = config.read16(capability + MESSAGE_CONTROL);
  config.write16(capability + MESSAGE_CONTROL, control & ~MULTIPLE | ENABLE);
}

/** Whether MSI is turned on. */
export function isMsiEnabled(config: Registers, { capability }: Msi): boolean {
  return (config.read16(capability + MESSAGE_CONTROL) & ENABLE) !== 0;
}

/** Turns MSI off. */
export function disableMsi(config: Registers, { capability }: Msi): void {
  config.write16(
    capability + MESSAGE_CONTROL,
    config.read16(capability + MESSAGE_CONTROL) & ~ENABLE,
  );
}
