// Reads and writes of regions, by accesses of natural widths.

import { readWidth, type Registers, type Width, writeWidth } from "../../core/pci/registers.ts";

/** The widest access of at most `most` bytes that is natural at `offset`. */
function widthAt(offset: number, most: number): Width {
  if (most >= 4 && offset % 4 === 0) return 4;
  return most >= 2 && offset % 2 === 0 ? 2 : 1;
}

/** Reads registers from `offset` on, each byte once, by accesses of natural widths. */
export function readRegion(registers: Registers, offset: number, into: Uint8Array): void {
  for (let done = 0; done < into.length;) {
    const width = widthAt(offset + done, into.length - done);
    const value = readWidth(registers, offset + done, width);
    for (let i = 0; i < width; i++) into[done + i] = value >>> 8 * i & 0xff;
    done += width;
  }
}

/** Cuts what is written from `offset` on into accesses of natural widths. */
export function writeRegion(
  write: (offset: number, width: Width, value: number) => void,
  offset: number,
  bytes: Uint8Array,
): void {
  for (let done = 0; done < bytes.length;) {
    const width = widthAt(offset + done, bytes.length - done);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + bytes[done + i]!;
    write(offset + done, width, value);
    done += width;
  }
}

/** Writes them to registers. */
export function writeRegisters(registers: Registers, offset: number, bytes: Uint8Array): void {
  writeRegion((at, width, value) => writeWidth(registers, at, width, value), offset, bytes);
}
