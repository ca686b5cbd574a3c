import { uint16, uint32, uint64 } from "./big_endian.ts";

/** The size of a unit (SBC-3, 5.15 and 5.16). */
export interface ScsiCapacity {
  /** Blocks that it has. */
  readonly blocks: number;
  /** Bytes of each. */
  readonly blockSize: number;
  /** Bytes of a physical block. */
  readonly physicalBlockSize: number;
  /** The type of protection information that its blocks carry, 1 to 3; 0 for none. */
  readonly protectionType: number;
  /** Whether blocks can be given up. */
  readonly thin: boolean;
  /** Whether blocks that were given up read as zeroes. */
  readonly unmappedZeroes: boolean;
}

/** Bytes to ask for. */
export const CAPACITY_10_BYTES = 8, CAPACITY_16_BYTES = 32;

/** No disk has blocks larger than this. */
const MOST_BLOCK_BYTES = 65536;

/**
 * Takes the answer to READ CAPACITY apart, of whichever form.
 *
 * @returns Nothing if that cannot be the size of a unit.
 */
export function parseCapacity(bytes: Uint8Array): ScsiCapacity | undefined {
  const long = bytes.length >= 13;
  if (bytes.length < CAPACITY_10_BYTES) return undefined;
  const blocks = (long ? uint64(bytes, 0) : uint32(bytes, 0)) + 1;
  const blockSize = uint32(bytes, long ? 8 : 4);
  const power = blockSize >= 512 && blockSize <= MOST_BLOCK_BYTES &&
    (blockSize & blockSize - 1) === 0;
  if (!power || !Number.isSafeInteger(blocks * blockSize)) return undefined;
  const protection = long ? bytes[12]! : 0;
  const exponent = long ? bytes[13]! & 0xf : 0;
  const thin = long ? uint16(bytes, 14) : 0;
  return {
    blocks,
    blockSize,
    physicalBlockSize: blockSize * 2 ** exponent,
    protectionType: protection & 1 ? (protection >> 1 & 7) + 1 : 0,
    thin: (thin & 0x8000) !== 0,
    unmappedZeroes: (thin & 0x4000) !== 0,
  };
}

/** Whether the unit has more blocks than READ CAPACITY(10) can say. */
export function needsCapacity16(bytes: Uint8Array): boolean {
  return uint32(bytes, 0) === 0xffffffff;
}
