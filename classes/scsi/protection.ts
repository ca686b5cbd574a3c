import { putUint16, putUint32, uint16, uint32 } from "./big_endian.ts";

/** Bytes of protection information of a block: guard, application tag, reference tag (SBC-3, 4.22). */
export const PROTECTION_BYTES = 8;

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? crc << 1 ^ 0x8bb7 : crc << 1;
  return crc;
});

/** The guard of a block: its CRC-16 by the polynomial 0x8BB7. */
function guard(block: Uint8Array): number {
  let crc = 0;
  for (let i = 0; i < block.length; i++) crc = crc << 8 & 0xffff ^ TABLE[crc >> 8 ^ block[i]!]!;
  return crc;
}

/**
 * Protection information of type 1 for blocks.
 *
 * @param first Number of the first block.
 */
export function protect(
  bytes: Uint8Array,
  blockSize: number,
  first: number,
): Uint8Array<ArrayBuffer> {
  const blocks = bytes.length / blockSize;
  const protection = new Uint8Array(blocks * PROTECTION_BYTES);
  for (let i = 0; i < blocks; i++) {
    const at = i * PROTECTION_BYTES;
    putUint16(protection, at, guard(bytes.subarray(i * blockSize, (i + 1) * blockSize)));
    putUint32(protection, at + 4, (first + i) % 2 ** 32);
  }
  return protection;
}

/**
 * Looks whether blocks are what their protection information says.
 *
 * @returns The index of the first that is not; −1 if all are.
 */
export function unprotected(
  bytes: Uint8Array,
  blockSize: number,
  first: number,
  protection: Uint8Array,
): number {
  const blocks = bytes.length / blockSize;
  for (let i = 0; i < blocks; i++) {
    const at = i * PROTECTION_BYTES;
    // All ones: the block was never written, and nothing is to be checked (SBC-3, 4.22.5.2).
    if (uint16(protection, at + 2) === 0xffff) continue;
    const block = bytes.subarray(i * blockSize, (i + 1) * blockSize);
    const right = uint16(protection, at) === guard(block) &&
      uint32(protection, at + 4) === (first + i) % 2 ** 32;
    if (!right) return i;
  }
  return -1;
}
