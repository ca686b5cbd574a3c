// Registers of a function, mapped where they can be.

import type { Positioned } from "../../linux/positioned.ts";
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
    bytes: new Uint8Array(buffer),
    halves: new Uint16Array(buffer),
    words: new Uint32Array(buffer),
  }));
  const part = (offset: number, width: 1 | 2 | 4) => {
    checkAccess(size, offset, width);
    return mapped.find((each) => each.offset <= offset && offset + width <= each.end);
  };
  // Loads by Atomics, since V8 merges plain ones; stores plain, since those of Atomics read, too.
  return {
    size,
    read8(offset) {
      const found = part(offset, 1);
      if (!found) return calls.read(offset, 1);
      const { bytes } = found;
      return bytes.length === 0 ? 0xff : Atomics.load(bytes, offset - found.offset);
    },
    read16(offset) {
      const found = part(offset, 2);
      if (!found) return calls.read(offset, 2);
      const { halves } = found;
      return halves.length === 0 ? 0xffff : Atomics.load(halves, (offset - found.offset) / 2);
    },
    read32(offset) {
      const found = part(offset, 4);
      if (!found) return calls.read(offset, 4);
      const { words } = found;
      return words.length === 0 ? 0xffffffff : Atomics.load(words, (offset - found.offset) / 4);
    },
    write8(offset, value) {
      const found = part(offset, 1);
      if (!found) return calls.write(offset, 1, value);
      found.bytes[offset - found.offset] = value;
    },
    write16(offset, value) {
      const found = part(offset, 2);
      if (!found) return calls.write(offset, 2, value);
      found.halves[(offset - found.offset) / 2] = value;
    },
    write32(offset, value) {
      const found = part(offset, 4);
      if (!found) return calls.write(offset, 4, value);
      found.words[(offset - found.offset) / 4] = value;
    },
  };
}
