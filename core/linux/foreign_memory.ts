// Memory files of other processes.

import { close, duplicate } from "./fd.ts";
import { identityOfOpen, Seal, sealsOf } from "./file_kind.ts";
import { disconnect, HUGE_PAGE, MOST_SHARED, placeFile, reserveShared } from "./memory.ts";

const PAGE = 4096;

/** A memory file of another process, in a memory of ours that is as long as the file. */
export interface ForeignMemory {
  /** Which file it is: the same for two descriptors of one file, so that it is mapped once. */
  readonly id: string;
  /** The memory. It has zeroes of our own where nothing is shown, and behind the file. */
  readonly memory: SharedArrayBuffer;
  /** Bytes of the file. */
  readonly size: number;
  /**
   * Shows bytes of the file at their place in the memory; what was shown before stays.
   *
   * @param offset First byte, a multiple of 4096.
   * @param size Length in bytes, likewise.
   * @throws {UnfitMemory} If they are not whole pages of the file.
   */
  show(offset: number, size: number): void;
  /**
   * Shows them no more: from now on nothing that is written there, by a view that was made before or after, gets into
   * the file. The parameters are those of {@linkcode show}.
   */
  hide(offset: number, size: number): void;
  /** Shows nothing more, for good. Changes nothing the second time. */
  release(): void;
}

/** Memory that is not mapped, because it could do harm or is of no use. The message says what to do. */
export class UnfitMemory extends Error {
  /** Tells the error apart. */
  override readonly name = "UnfitMemory";
}

/**
 * Gives a memory file that another process sent us a place among our memories. Nothing of it is shown at first.
 *
 * Safety: the file cannot shrink, as its seal says, so no page of it turns into a bus error, which would end this
 * process; and with that seal it is no file of a server whose pages may never come. Its bytes change under us at any
 * time. The pages stand in a range that V8 reserves for the buffer ({@linkcode mapShared}), and are replaced by pages
 * of our own, never unmapped by hand.
 *
 * @param fd The file; not closed here, and a descriptor of our own is kept until {@linkcode ForeignMemory.release}.
 * @throws {UnfitMemory} If it is no memory file, is not sealed, is empty or has more than 16 GiB.
 */
export function openForeign(fd: number): ForeignMemory {
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
  const whole = Math.ceil(size / PAGE) * PAGE;
  if (whole === 0) throw new UnfitMemory("The memory is a file without a byte");
  const memory = reserveShared(whole, blockSize === HUGE_PAGE ? HUGE_PAGE : PAGE);
  let own = duplicate(fd);
  const check = (offset: number, bytes: number) => {
    // Written so that no NaN passes.
    if (
      offset >= 0 && bytes > 0 && offset + bytes <= whole && offset % PAGE === 0 &&
      bytes % PAGE === 0
    ) return;
    throw new UnfitMemory(
      `The memory has ${size} bytes, of which ${bytes} at ${offset} are not whole pages`,
    );
  };
  return {
    id,
    memory,
    size,
    show(offset, bytes) {
      check(offset, bytes);
      if (own >= 0) placeFile(memory, offset, bytes, own);
    },
    hide(offset, bytes) {
      check(offset, bytes);
      disconnect(memory, offset, bytes);
    },
    release() {
      if (own < 0) return;
      close(own);
      own = -1;
      disconnect(memory);
    },
  };
}
