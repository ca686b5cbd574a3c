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
