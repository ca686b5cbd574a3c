import type { Buffer } from "@virtio/deno/plugin";
import { PAGE_BYTES } from "./wire.ts";

/** A buffer as pages and words. */
export interface Stretch {
  /** Where it begins in the arena. */
  readonly offset: number;
  /** How many pages it has. */
  readonly pages: number;
  /** Its contents, 32 bits each. */
  readonly words: Uint32Array<SharedArrayBuffer>;
  /** The page frame of each page in the machine's own memory. */
  readonly frames: Uint32Array<ArrayBuffer>;
}

/**
 * Looks at a buffer as pages.
 *
 * @param frame Finds the page frame of a place in the arena.
 * @throws RangeError If a frame's number has more than the 32 bits that the device can be told (virtio 1.4, 5.5.6).
 */
export function stretch({ offset, bytes }: Buffer, frame: (offset: number) => number): Stretch {
  const pages = Math.floor(bytes.length / PAGE_BYTES);
  const frames = new Uint32Array(pages);
  for (let page = 0; page < pages; page++) {
    const number = frame(offset + page * PAGE_BYTES);
    if (number >= 2 ** 32) {
      throw new RangeError(
        `Cannot tell the device of page frame ${number}: numbers of page frames have 32 bits`,
      );
    }
    frames[page] = number;
  }
  return { offset, pages, words: words({ offset, bytes }), frames };
}

/** A buffer's contents, 32 bits each. */
export function words({ offset, bytes }: Buffer): Uint32Array<SharedArrayBuffer> {
  return new Uint32Array(bytes.buffer, offset, bytes.length / 4);
}
