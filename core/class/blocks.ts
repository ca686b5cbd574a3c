import { SECTOR } from "./block.ts";

/** What a stretch of a disk must fit. */
export interface BlockRange {
  /** Bytes that place and length are multiples of. */
  readonly unit: number;
  /** Bytes that the disk holds. */
  readonly capacity: number;
  /** What the disk is, for people: `"device"` or `"unit"`. */
  readonly what: string;
}

/**
 * Checks a stretch of a disk that an application names.
 *
 * @param action For the error: `"Cannot read 512 bytes at 0"`.
 * @throws RangeError If it is not in whole units, or not inside the disk.
 */
export function checkRange(
  action: string,
  offset: number,
  length: number,
  { unit, capacity, what }: BlockRange,
): void {
  const whole = (value: number) => Number.isSafeInteger(value) && value >= 0 && value % unit === 0;
  if (!whole(offset) || !whole(length)) {
    const why = unit === SECTOR ? "" : ", the size of its blocks";
    throw new RangeError(`${action}: not multiples of ${unit}${why}`);
  }
  if (offset + length > capacity) {
    throw new RangeError(`${action}: the ${what} ends at ${capacity}`);
  }
}

/**
 * Reads a stretch in whole blocks: where it begins or ends within one, all of that block is read.
 *
 * @param read Fills its bytes, whole blocks.
 */
export async function readWhole(
  blockSize: number,
  offset: number,
  bytes: Uint8Array,
  read: (offset: number, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const start = offset - offset % blockSize;
  const end = Math.ceil((offset + bytes.length) / blockSize) * blockSize;
  if (start === offset && end === offset + bytes.length) return await read(offset, bytes);
  const blocks = new Uint8Array(end - start);
  await read(start, blocks);
  bytes.set(blocks.subarray(offset - start, offset - start + bytes.length));
}
