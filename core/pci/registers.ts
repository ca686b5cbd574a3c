/**
 * A window of little-endian device registers: configuration space, or the part of a BAR that may be used.
 *
 * One call is one access of exactly that width, never merged with another and never split. Offsets are multiples
 * of the width and inside the window; anything else throws a `RangeError`.
 */
export interface Registers {
  /** Length of the window in bytes. */
  readonly size: number;
  /** Reads 8 bits. */
  read8(offset: number): number;
  /** Reads 16 bits. */
  read16(offset: number): number;
  /** Reads 32 bits, unsigned. */
  read32(offset: number): number;
  /** Writes 8 bits. */
  write8(offset: number, value: number): void;
  /** Writes 16 bits. */
  write16(offset: number, value: number): void;
  /** Writes 32 bits. */
  write32(offset: number, value: number): void;
}

/** Throws unless `width` bytes at `offset` are aligned and inside a window of `size` bytes. */
export function checkAccess(size: number, offset: number, width: 1 | 2 | 4): void {
  if (!Number.isInteger(offset) || offset < 0 || offset + width > size || offset % width !== 0) {
    throw new RangeError(`Cannot access ${width} bytes at ${offset}: the window has ${size} bytes`);
  }
}

/** Part of a window, as a window of its own. */
export function subRegisters(registers: Registers, start: number, size: number): Registers {
  if (start < 0 || size < 0 || start + size > registers.size) {
    throw new RangeError(
      `Cannot cut ${size} bytes at ${start}: the window has ${registers.size} bytes`,
    );
  }
  const at = (offset: number, width: 1 | 2 | 4) => {
    checkAccess(size, offset, width);
    return start + offset;
  };
  return {
    size,
    read8: (offset) => registers.read8(at(offset, 1)),
    read16: (offset) => registers.read16(at(offset, 2)),
    read32: (offset) => registers.read32(at(offset, 4)),
    write8: (offset, value) => registers.write8(at(offset, 1), value),
    write16: (offset, value) => registers.write16(at(offset, 2), value),
    write32: (offset, value) => registers.write32(at(offset, 4), value),
  };
}
