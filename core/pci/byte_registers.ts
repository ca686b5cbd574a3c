import { checkAccess, type Registers, type Width } from "./registers.ts";

/** Private bytes as registers: a snapshot, or the memory of a simulated function. Writes go to `bytes`. */
export function byteRegisters(bytes: Uint8Array<ArrayBuffer>): Registers {
  const size = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  const at = (offset: number, width: Width) => {
    checkAccess(size, offset, width);
    return offset;
  };
  return {
    size,
    read8: (offset) => view.getUint8(at(offset, 1)),
    read16: (offset) => view.getUint16(at(offset, 2), true),
    read32: (offset) => view.getUint32(at(offset, 4), true),
    write8: (offset, value) => view.setUint8(at(offset, 1), value),
    write16: (offset, value) => view.setUint16(at(offset, 2), value, true),
    write32: (offset, value) => view.setUint32(at(offset, 4), value, true),
  };
}
