/**
 * Command descriptor blocks (SPC-4, SBC-3): how commands are written. What has a form of 10 bytes takes that where its
 * numbers fit, as old units know no other.
 *
 * @module
 */

import { putUint16, putUint32, putUint64 } from "./big_endian.ts";

/** Operation codes. */
export const ScsiOperation = {
  /** Is the unit ready. */
  testUnitReady: 0x00,
  /** What is wrong. */
  requestSense: 0x03,
  /** What the unit is. */
  inquiry: 0x12,
  /** Its modes. */
  modeSense6: 0x1a,
  /** Start, stop, load, eject. */
  startStopUnit: 0x1b,
  /** Its size, up to 2 TiB in blocks of 512 bytes. */
  readCapacity10: 0x25,
  /** Read, below 2³² blocks. */
  read10: 0x28,
  /** Write, likewise. */
  write10: 0x2a,
  /** Make writes durable. */
  synchronizeCache10: 0x35,
  /** Give blocks up. */
  unmap: 0x42,
  /** Read. */
  read16: 0x88,
  /** Write. */
  write16: 0x8a,
  /** Write one block to many places. */
  writeSame16: 0x93,
  /** READ CAPACITY(16) and others. */
  serviceActionIn16: 0x9e,
  /** Which units a target has. */
  reportLuns: 0xa0,
} as const;

type Cdb = Uint8Array<ArrayBuffer>;

/** READ CAPACITY(16) among the service actions. */
const READ_CAPACITY_16 = 0x10;
/** What of a position and a length fits into 10 bytes. */
const FIRST_10 = 2 ** 32, BLOCKS_10 = 2 ** 16;

/** TEST UNIT READY. */
export function testUnitReady(): Cdb {
  return new Uint8Array(6);
}

/** INQUIRY, of a page of vital product data if one is given. */
export function inquiry(length: number, page?: number): Cdb {
  const cdb = Uint8Array.of(ScsiOperation.inquiry, 0, 0, 0, 0, 0);
  if (page !== undefined) {
    cdb[1] = 1;
    cdb[2] = page;
  }
  putUint16(cdb, 3, length);
  return cdb;
}

/** REPORT LUNS. */
export function reportLuns(length: number): Cdb {
  const cdb = new Uint8Array(12);
  cdb[0] = ScsiOperation.reportLuns;
  putUint32(cdb, 6, length);
  return cdb;
}

/** READ CAPACITY(10). */
export function readCapacity10(): Cdb {
  const cdb = new Uint8Array(10);
  cdb[0] = ScsiOperation.readCapacity10;
  return cdb;
}

/** READ CAPACITY(16). */
export function readCapacity16(length: number): Cdb {
  const cdb = new Uint8Array(16);
  cdb[0] = ScsiOperation.serviceActionIn16;
  cdb[1] = READ_CAPACITY_16;
  putUint32(cdb, 10, length);
  return cdb;
}

/** MODE SENSE(6) without block descriptors. */
export function modeSense6(page: number, length: number): Cdb {
  return Uint8Array.of(ScsiOperation.modeSense6, 8, page, 0, length, 0);
}

/** READ or WRITE of `blocks` blocks from `first` on; `protect` is their field of that name. */
export function readOrWrite(write: boolean, first: number, blocks: number, protect = 0): Cdb {
  const cdb = new Uint8Array(first < FIRST_10 && blocks < BLOCKS_10 ? 10 : 16);
  putReadOrWrite(cdb, 0, write, first, blocks, protect);
  return cdb;
}

/** Writes a {@linkcode readOrWrite} at its place. Returns how many bytes it has. */
export function putReadOrWrite(
  bytes: Uint8Array,
  at: number,
  write: boolean,
  first: number,
  blocks: number,
  protect = 0,
): number {
  bytes[at + 1] = protect << 5;
  if (first < FIRST_10 && blocks < BLOCKS_10) {
    bytes[at] = write ? ScsiOperation.write10 : ScsiOperation.read10;
    putUint32(bytes, at + 2, first);
    bytes[at + 6] = 0;
    putUint16(bytes, at + 7, blocks);
    bytes[at + 9] = 0;
    return 10;
  }
  bytes[at] = write ? ScsiOperation.write16 : ScsiOperation.read16;
  putUint64(bytes, at + 2, first);
  putUint32(bytes, at + 10, blocks);
  bytes[at + 14] = bytes[at + 15] = 0;
  return 16;
}

/** SYNCHRONIZE CACHE(10) of the whole unit. */
export function synchronizeCache(): Cdb {
  const cdb = new Uint8Array(10);
  cdb[0] = ScsiOperation.synchronizeCache10;
  return cdb;
}

/** WRITE SAME(16), which may give the blocks up with `unmap`. */
export function writeSame16(first: number, blocks: number, unmap: boolean): Cdb {
  const cdb = new Uint8Array(16);
  cdb[0] = ScsiOperation.writeSame16;
  cdb[1] = unmap ? 8 : 0;
  putUint64(cdb, 2, first);
  putUint32(cdb, 10, blocks);
  return cdb;
}

/** UNMAP with so many bytes of parameters. */
export function unmap(length: number): Cdb {
  const cdb = new Uint8Array(10);
  cdb[0] = ScsiOperation.unmap;
  putUint16(cdb, 7, length);
  return cdb;
}

/** The parameters of UNMAP: stretches of blocks. */
export function unmapRanges(ranges: readonly (readonly [first: number, blocks: number])[]): Cdb {
  const bytes = new Uint8Array(8 + 16 * ranges.length);
  putUint16(bytes, 0, bytes.length - 2);
  putUint16(bytes, 2, bytes.length - 8);
  ranges.forEach(([first, blocks], i) => {
    putUint64(bytes, 8 + 16 * i, first);
    putUint32(bytes, 16 + 16 * i, blocks);
  });
  return bytes;
}

/** START STOP UNIT: puts a medium in or takes it out. */
export function loadOrEject(load: boolean): Cdb {
  return Uint8Array.of(ScsiOperation.startStopUnit, 0, 0, 0, load ? 3 : 2, 0);
}
