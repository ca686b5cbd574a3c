// Names for what PCI has numbers for.

import { hexDigits } from "../core/pci/address.ts";

/** Names for PCI numbers, as far as they are known. */
export interface PciNames {
  /** A vendor, 16 bits: `"Red Hat, Inc."`. */
  vendor(vendor: number): string | undefined;
  /** A vendor's device, 16 bits each: `"Virtio 1.0 block device"`. */
  device(vendor: number, device: number): string | undefined;
  /** Base class and subclass, 16 bits: `0x0200` is `"Ethernet controller"`. */
  subclass(subclass: number): string | undefined;
  /** Base class, 8 bits: `0x02` is `"Network controller"`. */
  baseClass(baseClass: number): string | undefined;
}

/**
 * Names from the text of a `pci.ids` file (format: https://pci-ids.ucw.cz/). Nothing is parsed ahead: a
 * machine has some dozens of devices, the file tens of thousands of lines.
 *
 * Tabs tell the depth: vendors and `C` classes at 0, devices and subclasses at 1. Two spaces end the number.
 */
export function parseNames(text: string): PciNames {
  const lines = "\n" + text.replaceAll("\r", "");

  /** The rest of the line that starts with `start` in a part of the text, and where that line ends. */
  function line(
    start: string,
    from: number,
    to: number,
  ): { name: string; end: number } | undefined {
    const at = lines.indexOf(`\n${start}  `, from);
    if (at < 0 || at >= to) return undefined;
    const end = endOfLine(at + 1);
    return { name: lines.slice(at + start.length + 3, end).trim(), end };
  }

  function endOfLine(from: number): number {
    const end = lines.indexOf("\n", from);
    return end < 0 ? lines.length : end;
  }

  /** The lines below a line: all up to the next one at depth 0. */
  function below(outer: string, inner: string): string | undefined {
    const section = line(outer, 0, lines.length);
    if (!section) return undefined;
    const next = /\n[^\t\n#]/g;
    next.lastIndex = section.end;
    const to = next.exec(lines)?.index ?? lines.length;
    return line(`\t${inner}`, section.end, to)?.name;
  }

  return {
    vendor: (vendor) => line(hexDigits(vendor, 4), 0, lines.length)?.name,
    device: (vendor, device) => below(hexDigits(vendor, 4), hexDigits(device, 4)),
    subclass: (subclass) =>
      below(`C ${hexDigits(subclass >> 8, 2)}`, hexDigits(subclass & 0xff, 2)),
    baseClass: (baseClass) => line(`C ${hexDigits(baseClass, 2)}`, 0, lines.length)?.name,
  };
}

/** Asks the first table, and the second for what the first does not know. */
export function preferNames(first: PciNames, second: PciNames): PciNames {
  return {
    vendor: (vendor) => first.vendor(vendor) ?? second.vendor(vendor),
    device: (vendor, device) => first.device(vendor, device) ?? second.device(vendor, device),
    subclass: (subclass) => first.subclass(subclass) ?? second.subclass(subclass),
    baseClass: (baseClass) => first.baseClass(baseClass) ?? second.baseClass(baseClass),
  };
}
