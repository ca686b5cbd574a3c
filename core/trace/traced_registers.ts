// Registers of which each access is told.

import type { Registers } from "../pci/registers.ts";

/** Called after each access with what was read or written. */
export type SeeAccess = (
  access: "read" | "write",
  offset: number,
  width: 1 | 2 | 4,
  value: number,
) => void;

/** Registers of which each access is told. */
export function tracedRegisters(registers: Registers, see: SeeAccess): Registers {
  const read = (width: 1 | 2 | 4, get: (offset: number) => number) => (offset: number) => {
    const value = get(offset);
    see("read", offset, width, value);
    return value;
  };
  const write = (width: 1 | 2 | 4, set: (offset: number, value: number) => void) =>
  (
    offset: number,
    value: number,
  ) => {
    // Before: what follows from it comes after.
    see("write", offset, width, value);
    set(offset, value);
  };
  return {
    size: registers.size,
    read8: read(1, (offset) => registers.read8(offset)),
    read16: read(2, (offset) => registers.read16(offset)),
    read32: read(4, (offset) => registers.read32(offset)),
    write8: write(1, (offset, value) => registers.write8(offset, value)),
    write16: write(2, (offset, value) => registers.write16(offset, value)),
    write32: write(4, (offset, value) => registers.write32(offset, value)),
  };
}
