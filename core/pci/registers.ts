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

/** Width of an access in bytes. */
export type Width = 1 | 2 | 4;

/** Throws unless `width` bytes at `offset` are aligned and inside a window of `size` bytes. */
export function checkAccess(size: number, offset: number, width: Width): void {
  if (!Number.isInteger(offset) || offset < 0 || offset + width > size || offset % width !== 0) {
    throw new RangeError(`Cannot access ${width} bytes at ${offset}: the window has ${size} bytes`);
  }
}

/**
 * Registers that do something when they are accessed: every access goes through `read` or `write`, and what is written is
 * cut to its width.
 */
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

/** Part of a window, as a window of its own. */
export function subRegisters(registers: Registers, start: number, size: number): Registers {
  if (start < 0 || size < 0 || start + size > registers.size) {
    throw new RangeError(
      `Cannot cut ${size} bytes at ${start}: the window has ${registers.size} bytes`,
    );
  }
  return window(
    size,
    (offset, width) => readWidth(registers, start + offset, width),
    (offset, width, value) => writeWidth(registers, start + offset, width, value),
  );
}
