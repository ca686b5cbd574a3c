import { checkAccess, type Registers } from "./registers.ts";

/**
 * Registers that are mapped into this process: one load or one store for each access. When they are unmapped, they read as
 * all ones and take no writes.
 *
 * @param buffer The mapping.
 * @param size How many of its bytes are the window; all if left out.
 */
export function mappedRegisters(buffer: ArrayBuffer, size: number = buffer.byteLength): Registers {
  const bytes = new Uint8Array(buffer);
  const halves = new Uint16Array(buffer);
  const words = new Uint32Array(buffer);
  // Loads by Atomics, since V8 merges plain ones; stores plain, since those of Atomics read, too.
  return {
    size,
    read8(offset) {
      checkAccess(size, offset, 1);
      return bytes.length === 0 ? 0xff : Atomics.load(bytes, offset);
    },
    read16(offset) {
      checkAccess(size, offset, 2);
      return halves.length === 0 ? 0xffff : Atomics.load(halves, offset / 2);
    },
    read32(offset) {
      checkAccess(size, offset, 4);
      return words.length === 0 ? 0xffffffff : Atomics.load(words, offset / 4);
    },
    write8(offset, value) {
      checkAccess(size, offset, 1);
      bytes[offset] = value;
    },
    write16(offset, value) {
      checkAccess(size, offset, 2);
      halves[offset / 2] = value;
    },
    write32(offset, value) {
      checkAccess(size, offset, 4);
      words[offset / 4] = value;
    },
  };
}
