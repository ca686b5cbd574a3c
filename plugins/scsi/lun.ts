import * as wire from "./wire.ts";

/** The SCSI form of a LUN up to 16383 in two bytes: flat addressing, 01 in its first two bits. */
const FLAT = 0x40;
/** The SCSI form of well-known logical units: 1 is REPORT LUNS. */
const WELL_KNOWN = 0xc1;

/** The address of a unit: target in bits 0 to 7, LUN as SCSI writes it in bits 8 to 23. */
export function addressOf(target: number, lun: number): number {
  return target | lun << 8 | FLAT << 16;
}

/**
 * Writes a LUN field (virtio 1.4, 5.6.6.1).
 *
 * @param at Its place in `bytes`.
 * @param address As of {@linkcode addressOf}.
 */
export function writeLun(bytes: Uint8Array, at: number, address: number): void {
  bytes[at] = wire.LUN_TARGET;
  bytes[at + 1] = address;
  bytes[at + 2] = address >>> 16;
  bytes[at + 3] = address >>> 8;
  for (let i = 4; i < wire.LUN_BYTES; i++) bytes[at + i] = 0;
}

/**
 * Reads a LUN field that a device wrote.
 *
 * @returns The address as of {@linkcode addressOf}; −1 if it is none of a target and a unit.
 */
export function readLun(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== wire.LUN_TARGET) return -1;
  for (let i = 4; i < wire.LUN_BYTES; i++) if (bytes[at + i] !== 0) return -1;
  const high = bytes[at + 2]!;
  // A device may leave out the addressing method for LUNs below 256.
  const method = high === 0 ? FLAT : high;
  if ((method < FLAT || method >= 2 * FLAT) && method !== WELL_KNOWN) return -1;
  return bytes[at + 1]! | bytes[at + 3]! << 8 | method << 16;
}
