// Fields of the device configuration, as a manifest names them.

import type { Registers } from "../pci/registers.ts";

/**
 * Reads fields of the given widths, as far as the window goes, each as a whole; one of 64 bits is two of 32
 * (virtio 1.4, 4.1.3.1).
 */
export function readFields(
  from: Registers,
  widths: readonly number[],
  into: Uint8Array<ArrayBuffer>,
): void {
  const view = new DataView(into.buffer);
  let at = 0;
  for (const width of widths) {
    if (at + width > into.length) return;
    if (width === 1) view.setUint8(at, from.read8(at));
    else if (width === 2) view.setUint16(at, from.read16(at), true);
    else {
      for (let half = 0; half < width; half += 4) {
        view.setUint32(at + half, from.read32(at + half), true);
      }
    }
    at += width;
  }
}
