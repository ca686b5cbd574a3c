// Registers of a function, mapped where they can be.

import { PAGE } from "../../dma/address_table.ts";
import type { Positioned } from "../../linux/positioned.ts";
import { mappedRegisters } from "../../pci/mapped_registers.ts";
import { readWidth, type Registers, type Width, window, writeWidth } from "../../pci/registers.ts";

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
  const part = (offset: number, width: Width) =>
    mapped.find((each) => each.offset <= offset && offset + width <= each.end);
  return window(
    size,
    (offset, width) => {
      const found = part(offset, width);
      return found
        ? readWidth(found.registers, offset - found.offset, width)
        : calls.read(offset, width);
    },
    (offset, width, value) => {
      const found = part(offset, width);
      if (found) writeWidth(found.registers, offset - found.offset, width, value);
      else calls.write(offset, width, value);
    },
  );
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
