/**
 * What a balloon driver and its clients agree on: the lanes `control`, `events` and `statistics`, the meaning of their
 * records, and the properties.
 *
 * The driver is the mechanism: it moves pages of an arena of its own into the balloon and out of it, as many as it is
 * told by `control`, and tells by `events` what the hypervisor wants and what there is. What to do about it is the
 * client's policy. A slot of `statistics` is what the hypervisor reads: it ends when the hypervisor wants newer ones.
 *
 * @module
 */

import { flag, type PropertyTypes, u32, Word } from "../../core/class/mod.ts";

/** What a request of the lane `control` asks for. */
export const BalloonOperation = {
  /** Make the balloon so many pages large. Ends when it is, or when a later request asks for something else. */
  resize: 0,
} as const;

/** The words of a balloon's records. */
export const BalloonWord = {
  ...Word,
  /** Of `control`: pages wanted. Of `events`: pages that the hypervisor wants. */
  pages: Word.first,
  /** Pages in the balloon when the request ended. */
  actual: Word.first + 1,
} as const;

/** Bytes of a page, whatever the processor's pages are (virtio 1.4, 5.5.6). */
export const BALLOON_PAGE = 4096;

/** What a machine tells of its memory, each with its tag (virtio 1.4, 5.5.6.4; from 10 on Linux's). */
export const MEMORY_STATISTICS = {
  /** Bytes that were swapped in. */
  swapIn: 0,
  /** Bytes that were swapped out. */
  swapOut: 1,
  /** Page faults that had to read from a disk. */
  majorFaults: 2,
  /** All page faults. */
  minorFaults: 3,
  /** Bytes that are not used. */
  freeMemory: 4,
  /** Bytes that there are. */
  totalMemory: 5,
  /** Bytes that programs could have without swapping. */
  availableMemory: 6,
  /** Bytes that hold copies of files and could be given up. */
  diskCaches: 7,
  /** Huge pages that were allocated. */
  hugetlbAllocations: 8,
  /** Huge pages that could not be had. */
  hugetlbFailures: 9,
  /** Programs that were killed for want of memory. */
  oomKills: 10,
  /** Allocations that had to wait. */
  allocationStalls: 11,
  /** Pages that were looked at in the background, to find some that can be given up. */
  asyncScans: 12,
  /** The same, while a program waited. */
  directScans: 13,
  /** Pages that were given up in the background. */
  asyncReclaims: 14,
  /** The same, while a program waited. */
  directReclaims: 15,
} as const;

/** Name of a figure in {@linkcode MEMORY_STATISTICS}. */
export type MemoryStatistic = keyof typeof MEMORY_STATISTICS;

/** Figures of a machine's memory. Which there are must not change from one time to the next. */
export type MemoryStatistics = { readonly [Name in MemoryStatistic]?: number };

/** Bytes of one figure: a tag of 16 bits and a value of 64. */
const ENTRY_BYTES = 10;
/** The most bytes that they all take: the slots of the lane `statistics` have as many. */
export const STATISTICS_BYTES: number = ENTRY_BYTES * Object.keys(MEMORY_STATISTICS).length;

/** Figures as the hypervisor reads them (virtio 1.4, 5.5.6.3), those of `names` in this order; 0 for one that is missing. */
export function encodeStatistics(
  names: readonly MemoryStatistic[],
  figures: MemoryStatistics,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(names.length * ENTRY_BYTES));
  for (const [i, name] of names.entries()) {
    view.setUint16(i * ENTRY_BYTES, MEMORY_STATISTICS[name], true);
    view.setBigUint64(i * ENTRY_BYTES + 2, BigInt(figures[name] ?? 0), true);
  }
  return new Uint8Array(view.buffer);
}

/** What a balloon driver tells about its device. */
export interface BalloonProperties {
  /** Pages of its arena: more can never be in the balloon. */
  readonly pages: number;
  /** Pages that the hypervisor wanted when the driver was started. */
  readonly requested: number;
  /** Whether the balloon may be smaller than the hypervisor wants while memory is short. */
  readonly deflateOnOom: boolean;
  /** Whether the hypervisor takes statistics. */
  readonly statistics: boolean;
  /** Whether the hypervisor asks for hints at free pages. */
  readonly hinting: boolean;
  /** Whether free pages are reported to the hypervisor. */
  readonly reporting: boolean;
}

/** What each of them may be. */
export const balloonProperties: PropertyTypes<BalloonProperties> = {
  pages: u32,
  requested: u32,
  deflateOnOom: flag,
  statistics: flag,
  hinting: flag,
  reporting: flag,
};
