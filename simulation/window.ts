// Little-endian accesses of each width to bytes.

import { checkAccess, type Registers } from "../core/pci/registers.ts";

/** Width of an access in bytes. */
export type Width = 1 | 2 | 4;

/** Registers that do something when they are accessed: every access goes through `read` or `write`. */
export function window(
  size: number,
  read: (offset: number, width: Width) => number,
  write: (offset: number, width: Width, value: number) => void,
): Registers {
  const get = (offset: number, width: Width) => {
    checkAccess(size, offset, width);
    return read(offset, width);
  };
  const set = (offset: number, width: Width, value: number) => {
    checkAccess(size, offset, width);
    write(offset, width, value);
  };
  return {
    size,
    read8: (offset) => get(offset, 1),
    read16: (offset) => get(offset, 2),
    read32: (offset) => get(offset, 4),
    write8: (offset, value) => set(offset, 1, value & 0xff),
    write16: (offset, value) => set(offset, 2, value & 0xffff),
    write32: (offset, value) => set(offset, 4, value >>> 0),
  };
}

/** An access of `width` bytes to registers. */
export function readWidth(registers: Registers, offset: number, width: Width): number {
  if (width === 1) return registers.read8(offset);
  return width === 2 ? registers.read16(offset) : registers.read32(offset);
}

/** Likewise, to write. */
export function writeWidth(
  registers: Registers,
  offset: number,
  width: Width,
  value: number,
): void {
  if (width === 1) registers.write8(offset, value);
  else if (width === 2) registers.write16(offset, value);
  else registers.write32(offset, value);
}

/** The value of `width` little-endian bytes; bytes behind the end read as 0. */
export function readBytes(bytes: Uint8Array, offset: number, width: Width): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[offset + i] ?? 0);
  return value;
}
