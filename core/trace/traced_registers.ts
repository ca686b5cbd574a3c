// Registers of which each access is told.

import { readWidth, type Registers, type Width, window, writeWidth } from "../pci/registers.ts";

/** Called after each access with what was read or written. */
export type SeeAccess = (
  access: "read" | "write",
  offset: number,
  width: Width,
  value: number,
) => void;

/** Registers of which each access is told. */
export function tracedRegisters(registers: Registers, see: SeeAccess): Registers {
  return window(
    registers.size,
    (offset, width) => {
      const value = readWidth(registers, offset, width);
      see("read", offset, width, value);
      return value;
    },
    (offset, width, value) => {
      // Before: what follows from it comes after.
      see("write", offset, width, value);
      writeWidth(registers, offset, width, value);
    },
  );
}
