/**
 * What a block driver and its clients agree on: the lane `requests`, the meaning of its records, and the properties.
 *
 * @module
 */

import { Word } from "./lane.ts";

/** What a block request asks for. */
export const BlockOperation = {
  /** Fill the slot's data from the device. */
  read: 0,
  /** Put the slot's data on the device. */
  write: 1,
  /** Make all finished writes durable. */
  flush: 2,
  /** Fill the slot's data with the device's identity: up to 20 bytes of ASCII. */
  identify: 3,
} as const;

/** The words of a block request's record. */
export const BlockWord = {
  ...Word,
  /** First sector of 512 bytes: low 32 bits. */
  sectorLow: Word.first,
  /** High 32 bits. */
  sectorHigh: Word.first + 1,
} as const;

/** A block device's sectors in the protocol have this many bytes, whatever the disk's own blocks are. */
export const SECTOR = 512;

/** A disk, whatever is behind it. Positions and lengths are bytes, in multiples of 512. */
export interface BlockDevice {
  /** Bytes that it holds. */
  readonly capacity: number;
  /** Bytes of the disk's own blocks: the best unit. */
  readonly blockSize: number;
  /** Whether writes are refused. */
  readonly readOnly: boolean;
  /** Whether finished writes are durable only after {@linkcode flush}. */
  readonly writeCache: boolean;
  /** Whether it knows {@linkcode discard}. */
  readonly canDiscard: boolean;
  /** Whether it knows {@linkcode writeZeroes}. */
  readonly canWriteZeroes: boolean;
  /** Its name: up to 20 characters, often a serial number, possibly none. */
  id(): Promise<string>;
  /** Reads `length` bytes. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Fills `bytes`. */
  readInto(offset: number, bytes: Uint8Array): Promise<void>;
  /** Writes bytes, which must not change until the promise settles. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Makes all writes that have finished durable. */
  flush(): Promise<void>;
  /** Says that nobody needs what stands there any more. What is read there afterwards, nobody knows. */
  discard(offset: number, length: number): Promise<void>;
  /** Makes a stretch read as zeroes; with `unmap`, its storage may be given up. */
  writeZeroes(
    offset: number,
    length: number,
    options?: { readonly unmap?: boolean },
  ): Promise<void>;
}

/** What a block driver tells about its device. */
export interface BlockProperties {
  /** Number of sectors. */
  readonly sectors: number;
  /** Bytes of the disk's own blocks. */
  readonly blockSize: number;
  /** Whether writes are refused. */
  readonly readOnly: boolean;
  /** Whether finished writes are durable only after a flush. */
  readonly writeCache: boolean;
}

/**
 * Checks what a driver says of a block device.
 *
 * @throws TypeError If it is not the properties of a block device.
 */
export function blockProperties(given: Readonly<Record<string, unknown>>): BlockProperties {
  const { sectors, blockSize, readOnly, writeCache } = given;
  const fail = (name: string) => {
    throw new TypeError(`Cannot use the block device: property ${name} is ${String(given[name])}`);
  };
  if (
    typeof sectors !== "number" || !Number.isInteger(sectors) ||
    !Number.isSafeInteger(sectors * SECTOR) || sectors < 0
  ) {
    return fail("sectors");
  }
  if (typeof blockSize !== "number" || !Number.isInteger(blockSize) || blockSize < SECTOR) {
    return fail("blockSize");
  }
  if (typeof readOnly !== "boolean") return fail("readOnly");
  if (typeof writeCache !== "boolean") return fail("writeCache");
  return { sectors, blockSize, readOnly, writeCache };
}
