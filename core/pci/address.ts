/** Where a PCI function sits: 16 bits or more of domain, 8 of bus, 5 of device, 3 of function. */
export interface PciAddress {
  /** The domain, also called segment; 0 on most machines, above 0xffff behind some Intel bridges. */
  readonly domain: number;
  /** The bus, 0 to 255. */
  readonly bus: number;
  /** The device on its bus, 0 to 31. */
  readonly device: number;
  /** The function of its device, 0 to 7. */
  readonly function: number;
}

const FORM = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i;

/**
 * Reads an address as lspci prints it: `00:03.0`, or with a domain, `0000:00:03.0`.
 *
 * @throws {SyntaxError} If `text` is no such address.
 */
export function parseAddress(text: string): PciAddress {
  const [, domain = "0", bus = "", device = "", fn = ""] = FORM.exec(text) ?? [];
  const slot = parseInt(device, 16);
  if (!(slot <= 31)) {
    throw new SyntaxError(
      `Cannot read ${JSON.stringify(text)} as a PCI address: ` +
        `it looks like 00:03.0 or 0000:00:03.0, with a device up to 1f and a function up to 7`,
    );
  }
  return {
    domain: parseInt(domain, 16),
    bus: parseInt(bus, 16),
    device: slot,
    function: parseInt(fn, 16),
  };
}

/** The address in full, as `lspci -D` prints it: `0000:00:03.0`. */
export function formatAddress(address: PciAddress): string {
  return `${hexDigits(address.domain, 4)}:${formatShortAddress(address)}`;
}

/** The address without its domain, as lspci prints it on machines with one domain: `00:03.0`. */
export function formatShortAddress(address: PciAddress): string {
  return `${hexDigits(address.bus, 2)}:${hexDigits(address.device, 2)}.${address.function}`;
}

/** Orders addresses as lspci does, for `sort`. */
export function compareAddresses(a: PciAddress, b: PciAddress): number {
  return a.domain - b.domain || a.bus - b.bus || a.device - b.device || a.function - b.function;
}

/** A number in hexadecimal as PCI is written: padded, without `0x`. */
export function hexDigits(value: number, count: number): string {
  return value.toString(16).padStart(count, "0");
}
