import { identityOfOpen, Seal, sealsOf } from "./file_kind.ts";
import { disconnect, HUGE_PAGE, mapShared, MOST_SHARED } from "./memory.ts";

const PAGE = 4096;

/** A memory file of another process, mapped whole. */
export interface ForeignMemory {
  /** Which file it is: the same for two descriptors of one file, so that it is mapped once. */
  readonly id: string;
  /** What is mapped. It is as long as the file or up to 65535 bytes longer; what is behind the file reads as zero. */
  readonly memory: SharedArrayBuffer;
  /** Bytes of the file that are in it. */
  readonly size: number;
  /**
   * Cuts the memory off from the file: zeroes of our own are there from now on, and the other process gets its pages
   * back. Changes nothing the second time.
   */
  release(): void;
}

/** Memory that is not mapped, because it could do harm or is of no use. The message says what to do. */
export class UnfitMemory extends Error {
  /** Tells the error apart. */
  override readonly name = "UnfitMemory";
}

/**
 * Maps a memory file that another process gave us, all of it.
 *
 * Safety: the file cannot shrink, as its seal says, so no page of it turns into a bus error, which would end this
 * process; and with that seal it is no file of a server whose pages may never come. Its bytes change under us at any
 * time. The mapping is never unmapped by hand: it is replaced by pages of our own ({@linkcode disconnect}), and ends
 * when the last handle of the buffer is collected.
 *
 * @param fd The file; not closed here, and the mapping outlives its being closed.
 * @throws {UnfitMemory} If it is no memory file, is not sealed, is empty or has more than 4 GiB.
 */
export function mapForeign(fd: number): ForeignMemory {
  const { kind, id, size, blockSize } = identityOfOpen(fd);
  if (kind !== "file") throw new UnfitMemory(`The memory is a ${kind}: it must be a memory file`);
  if (!(sealsOf(fd) & Seal.SHRINK)) {
    throw new UnfitMemory(
      "The memory is a file that could shrink under us: it must be a memory file that is sealed against that, as " +
        "QEMU makes it by -object memory-backend-memfd,share=on",
    );
  }
  if (size > MOST_SHARED) {
    throw new UnfitMemory(
      `The memory has ${size / 2 ** 30} GiB, of which ${
        MOST_SHARED / 2 ** 30
      } can be mapped: give the guest less`,
    );
  }
  const bytes = Math.ceil(size / PAGE) * PAGE;
  if (bytes === 0) throw new UnfitMemory("The memory is a file without a byte");
  const memory = mapShared(fd, 0, bytes, blockSize === HUGE_PAGE ? HUGE_PAGE : PAGE);
  return { id, memory, size, release: () => disconnect(memory) };
}
