import type { Virtqueue } from "@virtio/deno/plugin";
import type { Stretch } from "./stretch.ts";
import { PAGE_BYTES } from "./wire.ts";

/** Buffers in one report at most: filling them with poison must not take long. */
export const REPORT_BUFFERS = 4;
/** Pages in each. */
const REPORT_PAGES = 1024;

/** Reports pages that are free and stay so for a while: the device may take them until they are used again. */
export interface Reports {
  /** Whether the device holds pages. */
  readonly busy: boolean;
  /** Counted so far. */
  readonly counters: Readonly<Record<string, number>>;
  /** Takes what the device is done with. */
  drain(): void;
  /** Reports what was not reported yet; the first `free` pages are free. */
  advance(free: number): void;
  /** The queue was reset: what the device held counts as not reported. */
  restart(): void;
}

/**
 * Makes reports of the pages of a stretch.
 *
 * @param poison What the device may count on finding in free pages, if it was told (virtio 1.4, 5.5.6.6, 5.5.6.7).
 */
export function reports(queue: Virtqueue, arena: Stretch, poison: number | undefined): Reports {
  const counters = { reported_pages: 0 };
  /** Pages from the beginning that were reported, and pages behind them that the device holds. */
  let reported = 0;
  let held = 0;

  function ended(pages: number): void {
    counters.reported_pages += pages;
    reported += pages;
    held = 0;
  }

  return {
    get busy() {
      return held > 0;
    },
    counters,
    drain: () => void queue.drain(ended),
    advance(free) {
      if (held > 0) return;
      reported = Math.min(reported, free);
      const pages = Math.min(free - reported, REPORT_PAGES * REPORT_BUFFERS);
      if (pages === 0) return;
      const words = PAGE_BYTES / 4;
      if (poison !== undefined) {
        arena.words.fill(poison, reported * words, (reported + pages) * words);
      }
      queue.begin(pages);
      for (let at = 0; at < pages; at += REPORT_PAGES) {
        queue.writable(
          arena.offset + (reported + at) * PAGE_BYTES,
          Math.min(REPORT_PAGES, pages - at) * PAGE_BYTES,
        );
      }
      if (queue.commit()) held = pages;
    },
    restart: () => void (held = 0),
  };
}
