// Registers of a function, mapped where they can be.

import { PAGE } from "../../dma/address_table.ts";
import type { Positioned } from "../../linux/positioned.ts";
import { mappedRegisters } from "../../pci/mapped_registers.ts";
import { checkAccess, type Registers } from "../../pci/registers.ts";

/** Registers that are mapped: a part of a window. */
export interface MappedPart {
  /** First byte of the window that is mapped. */
  readonly offset: number;
  /** The memory. When it is unmapped its length becomes 0. */
  readonly buffer: ArrayBuffer;
}

/**
 * A window of registers: by one load or store where it is mapped, by one call elsewhere. A device that is gone, or was
 * given back, reads as all ones and takes no writes.
 */
export function deviceRegisters(
  size: number,
  calls: Positioned,
  parts: readonly MappedPart[] = [],
): Registers {
  const mapped = parts.map(({ offset, buffer }) => ({
    offset,
    end: offset + buffer.byteLength,
    registers: mappedRegisters(buffer),
  }));
  const part = (offset: number, width: 1 | 2 | 4) => {
    checkAccess(size, offset, width);
    return mapped.find((each) => each.offset <= offset && offset + width <= each.end);
  };
  return {
    size,
    read8(offset) {
      const found = part(offset, 1);
      return found ? found.registers.read8(offset - found.offset) : calls.read(offset, 1);
    },
    read16(offset) {
      const found = part(offset, 2);
      return found ? found.registers.read16(offset - found.offset) : calls.read(offset, 2);
    },
    read32(offset) {
      const found = part(offset, 4);
      return found ? found.registers.read32(offset - found.offset) : calls.read(offset, 4);
    },
    write8(offset, value) {
      const found = part(offset, 1);
      if (found) found.registers.write8(offset - found.offset, value);
      else calls.write(offset, 1, value);
    },
    write16(offset, value) {
      const found = part(offset, 2);
      if (found) found.registers.write16(offset - found.offset, value);
      else calls.write(offset, 2, value);
    },
    write32(offset, value) {
      const found = part(offset, 4);
      if (found) found.registers.write32(offset - found.offset, value);
      else calls.write(offset, 4, value);
    },
  };
}

/**
 * The whole pages that registers are on, as bytes of their region; undefined if a process cannot map all of them.
 *
 * @param areas The parts of the region that can be mapped.
 */
export function wholePages(
  areas: readonly { readonly offset: number; readonly size: number }[],
  offset: number,
  bytes: number,
): { readonly start: number; readonly bytes: number } | undefined {
  const start = offset - offset % PAGE;
  const end = Math.ceil((offset + bytes) / PAGE) * PAGE;
  const one = areas.some((area) => area.offset <= start && end <= area.offset + area.size);
  return one ? { start, bytes: end - start } : undefined;
}
