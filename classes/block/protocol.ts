/**
 * What a block driver and its clients agree on: the lane `requests` and, where something of the device can be switched,
 * the lane `control`; the meaning of their records, and the properties.
 *
 * @module
 */

import {
  flag,
  type Property,
  type PropertyTypes,
  usually,
  whole,
  Word,
} from "../../core/class/mod.ts";
import type { BlockSlots } from "./slots.ts";

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
  /** The contents of a stretch are not needed any more. */
  discard: 4,
  /** Make a stretch read as zeroes; with {@linkcode UNMAP}, its storage may be freed. */
  writeZeroes: 5,
  /** Erase a stretch beyond recovery. */
  secureErase: 6,
  /** Fill the slot's data with the wear of the storage: three numbers of 16 bits, little-endian. */
  lifetime: 7,
  /** Fill the slot's data with the zones from that of the sector on, as the specification lays them out (5.2.6). */
  zoneReport: 8,
  /** Open the zone that begins at the sector. */
  zoneOpen: 9,
  /** Close it. */
  zoneClose: 10,
  /** Make it full. */
  zoneFinish: 11,
  /** Make it empty. */
  zoneReset: 12,
  /** Make all zones empty. */
  zoneResetAll: 13,
  /** Put the slot's data where the zone that begins at the sector ends; the sector is then where that was. */
  zoneAppend: 14,
  /** Switch the write cache off (0 in `sectors`) or on (1). Only in the lane `control`. */
  setWriteCache: 15,
} as const;

/** A flag of {@linkcode BlockOperation.writeZeroes}: the storage may be freed. */
export const UNMAP = 1;

/** The words of a block request's record. */
export const BlockWord = {
  ...Word,
  /** First sector of 512 bytes: low 32 bits. */
  sectorLow: Word.first,
  /** High 32 bits. */
  sectorHigh: Word.first + 1,
  /** Sectors of the stretch, where no data goes with it. */
  sectors: Word.first + 2,
  /** Flags of the operation. */
  flags: Word.first + 3,
  /** The device's own status, as it stands in the specification; written by the driver. */
  answer: Word.first + 4,
} as const;

/** A block device's sectors in the protocol have this many bytes, whatever the disk's own blocks are. */
export const SECTOR = 512;

/** What slots of a disk can do, whatever is behind it. */
export type DiskSlots = Pick<BlockSlots, keyof BlockSlots>;

/**
 * A disk, whatever is behind it. Positions and lengths are bytes, in whole blocks; only reads may be of any sectors of
 * 512 bytes, and read the blocks around.
 */
export interface BlockDevice {
  /** Bytes that it holds, in whole blocks. */
  readonly capacity: number;
  /** Bytes of the disk's own blocks: the unit of all that changes it. */
  readonly blockSize: number;
  /** Which medium is in it, counted: another number after each exchange that was noticed, 0 while there is none. */
  readonly medium: number;
  /** Whether writes are refused. */
  readonly readOnly: boolean;
  /** Whether finished writes are durable only after {@linkcode flush}. */
  readonly writeCache: boolean;
  /** Whether it knows {@linkcode discard}. */
  readonly canDiscard: boolean;
  /** Whether it knows {@linkcode writeZeroes}. */
  readonly canWriteZeroes: boolean;
  /** Requests without a copy and without a promise, where it has such. */
  readonly slots?: DiskSlots;
  /** Learns what it is like now, and takes the medium that is in it now for its own. */
  refresh(): Promise<void>;
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
  /** Says that what stands there is not needed any more. What is read there afterwards is undefined. */
  discard(offset: number, length: number): Promise<void>;
  /** Makes a stretch read as zeroes; with `unmap`, its storage may be given up. */
  writeZeroes(
    offset: number,
    length: number,
    options?: { readonly unmap?: boolean },
  ): Promise<void>;
}

/** What a block driver tells about its device. Numbers that say nothing are 0, and so are those of what it has not. */
export interface BlockProperties {
  /** Number of sectors. */
  readonly sectors: number;
  /** Bytes of the disk's own blocks. */
  readonly blockSize: number;
  /** Whether writes are refused. */
  readonly readOnly: boolean;
  /** Whether finished writes are durable only after a flush. */
  readonly writeCache: boolean;
  /** Whether the cache can be switched. */
  readonly cacheSwitch: boolean;
  /** Bytes of a physical block. */
  readonly physicalBlockSize: number;
  /** Bytes before the first block that is aligned to a physical one. */
  readonly alignmentOffset: number;
  /** Bytes of the smallest transfer that is advisable. */
  readonly minimumTransfer: number;
  /** Bytes of the best transfer. */
  readonly bestTransfer: number;
  /** Cylinders, as if it had any. */
  readonly cylinders: number;
  /** Heads. */
  readonly heads: number;
  /** Sectors of a track. */
  readonly sectorsPerTrack: number;
  /** Most sectors of one discard. */
  readonly discardSectors: number;
  /** Sectors by which discards are best aligned. */
  readonly discardAlignment: number;
  /** Most sectors of one request to write zeroes. */
  readonly zeroesSectors: number;
  /** Whether that can free storage. */
  readonly zeroesUnmap: boolean;
  /** Most sectors of one secure erase. */
  readonly eraseSectors: number;
  /** Sectors by which secure erases must be aligned. */
  readonly eraseAlignment: number;
  /** Whether it tells the wear of its storage. */
  readonly lifetime: boolean;
  /** Sectors of a zone; 0 if it has none. */
  readonly zoneSectors: number;
  /** Whether writes to its sequential zones must begin at their write pointers. */
  readonly hostManaged: boolean;
  /** Most zones that may be open at a time; 0 for any number. */
  readonly mostOpenZones: number;
  /** Most zones that may be open or closed at a time; 0 for any number. */
  readonly mostActiveZones: number;
  /** Most sectors of one append. */
  readonly appendSectors: number;
  /** Bytes that writes to sequential zones are multiples of. */
  readonly writeGranularity: number;
}

/** More sectors than these have no place that a number can say. */
const count: Property<number> = whole(0, Math.floor(Number.MAX_SAFE_INTEGER / SECTOR));
const number: Property<number> = usually(count, 0);
const no: Property<boolean> = usually(flag, false);

/** What each of them may be. */
export const blockProperties: PropertyTypes<BlockProperties> = {
  sectors: count,
  blockSize: whole(SECTOR),
  readOnly: flag,
  writeCache: flag,
  cacheSwitch: no,
  physicalBlockSize: number,
  alignmentOffset: number,
  minimumTransfer: number,
  bestTransfer: number,
  cylinders: number,
  heads: number,
  sectorsPerTrack: number,
  discardSectors: number,
  discardAlignment: number,
  zeroesSectors: number,
  zeroesUnmap: no,
  eraseSectors: number,
  eraseAlignment: number,
  lifetime: no,
  zoneSectors: number,
  hostManaged: no,
  mostOpenZones: number,
  mostActiveZones: number,
  appendSectors: number,
  writeGranularity: number,
};
