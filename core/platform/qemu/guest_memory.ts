import type { DmaMemory } from "../../pci/function.ts";
import { close } from "../../linux/fd.ts";
import { discard, memoryFile } from "../../linux/memory.ts";

/** The machine's RAM: a file without a name, in which an offset is the address by which devices know the byte. */
export interface GuestMemory extends Disposable {
  /** The file. */
  readonly fd: number;
  /** Takes zeroed memory, `bytes` a multiple of 64 KiB. */
  take(bytes: number): DmaMemory;
  /** Gives memory back that no device uses any more; its contents are gone at once. */
  give(memory: DmaMemory): void;
}

/** Below are the holes of a PC: video memory and firmware from 640 KiB on. */
const LOWEST = 1 << 20;
const GRANULE = 65536;

/** Makes `size` bytes of RAM. */
export function guestMemory(size: number): GuestMemory {
  const fd = memoryFile("virtio-guest-memory", size);
  /** Free runs by address; neighbours are one run. */
  let free = [{ start: LOWEST, end: size }];
  return {
    fd,
    take(bytes) {
      if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % GRANULE !== 0) {
        throw new RangeError(
          `Cannot allocate ${bytes} bytes of DMA memory: not a multiple of ${GRANULE}`,
        );
      }
      const run = free.find(({ start, end }) => end - start >= bytes);
      if (!run) {
        const most = Math.max(0, ...free.map(({ start, end }) => end - start));
        throw new RangeError(
          `Cannot allocate ${bytes} bytes of DMA memory: at most ${most} are free in one piece of the ` +
            `machine's ${size}; open QEMU with more memory`,
        );
      }
      const offset = run.start;
      run.start += bytes;
      free = free.filter(({ start, end }) => start < end);
      return { fd, offset, size: bytes, runs: [{ address: offset, length: bytes }] };
    },
    give(memory) {
      discard(fd, memory.offset, memory.size);
      const runs = [...free, { start: memory.offset, end: memory.offset + memory.size }]
        .sort((a, b) => a.start - b.start);
      free = [];
      for (const run of runs) {
        const before = free.at(-1);
        if (before?.end === run.start) before.end = run.end;
        else free.push(run);
      }
    },
    [Symbol.dispose]: () => close(fd),
  };
}
