import { uint16, uint32 } from "./big_endian.ts";

/** No scan finds more units than this on a target: a list can name 16384 that each take a command to look at. */
export const MOST_UNITS = 256;
/** Bytes to ask for. */
export const REPORT_LUNS_BYTES: number = 8 + 8 * MOST_UNITS;

/**
 * The LUNs in the answer to REPORT LUNS (SPC-4, 6.33), in their order, each once, {@linkcode MOST_UNITS} at most. Those
 * of forms that a virtio device cannot address are left out (virtio 1.4, 5.6.6.1).
 */
export function parseReportLuns(bytes: Uint8Array): number[] {
  const end = Math.min(bytes.length, 8 + uint32(bytes, 0));
  const luns = new Set<number>();
  for (let at = 8; at + 8 <= end && luns.size < MOST_UNITS; at += 8) {
    const single = uint16(bytes, at);
    if (bytes.subarray(at + 2, at + 8).some((byte) => byte !== 0)) continue;
    // Peripheral addressing on bus 0, or flat addressing.
    if (single < 0x100) luns.add(single);
    else if (single >> 14 === 1) luns.add(single & 0x3fff);
  }
  return [...luns].sort((a, b) => a - b);
}
