import { argument } from "../../core/class/mod.ts";
import { SECTOR } from "./protocol.ts";

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
  const whole = (value: number) => value % unit === 0;
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
 * @throws TypeError If the buffer is transferred or resized meanwhile.
 */
export async function readWhole(
  blockSize: number,
  offset: number,
  bytes: Uint8Array,
  read: (offset: number, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const { length } = bytes;
  const start = offset - offset % blockSize;
  const end = Math.ceil((offset + length) / blockSize) * blockSize;
  if (start === offset && end === offset + length) return await read(offset, bytes);
  const action = `Cannot read ${length} bytes at ${offset}`;
  const blocks = argument.room(end - start, action);
  await read(start, blocks);
  if (argument.isLost(bytes, length)) throw argument.lostError(action);
  bytes.set(blocks.subarray(offset - start, offset - start + length));
}
