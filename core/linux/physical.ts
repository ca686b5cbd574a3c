// The physical addresses of memory that is locked.

import { withPages } from "./device_memory.ts";
import { close } from "./fd.ts";
import { open, readAt } from "./file.ts";

/** A contiguous stretch of the machine's memory. */
export interface PhysicalRun {
  /** Address of its first byte. */
  readonly address: number;
  /** Length in bytes, a multiple of 4096. */
  readonly length: number;
}

const PAGE = 4096;
const PRESENT = 1n << 63n;
const FRAME = (1n << 55n) - 1n;

/**
 * Where the machine has the pages of a memory file, in the order of the file (`/proc/self/pagemap`).
 *
 * That it stays so is up to the caller: huge pages stay where they are, and so do pages that the kernel has pinned for
 * a device; others may be moved at any time.
 *
 * @throws If the kernel does not tell: it tells root only.
 */
export function physicalRuns(fd: number, offset: number, size: number): PhysicalRun[] {
  const entries = new BigUint64Array(size / PAGE);
  withPages(fd, offset, size, (address) => {
    const pagemap = open("/proc/self/pagemap", 0);
    try {
      readAt(pagemap, new Uint8Array(entries.buffer), Number(address / BigInt(PAGE)) * 8);
    } finally {
      close(pagemap);
    }
  });
  const runs: { address: number; length: number }[] = [];
  for (const entry of entries) {
    const frame = Number(entry & FRAME);
    if ((entry & PRESENT) === 0n || frame === 0) {
      throw new Error(
        "Cannot learn where memory is: the kernel tells physical addresses to root only " +
          "(/proc/self/pagemap, CAP_SYS_ADMIN); run as root",
      );
    }
    const last = runs.at(-1);
    if (last && last.address + last.length === frame * PAGE) last.length += PAGE;
    else runs.push({ address: frame * PAGE, length: PAGE });
  }
  return runs;
}
