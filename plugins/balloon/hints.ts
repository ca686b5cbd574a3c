import type { Buffer, Virtqueue } from "@virtio/deno/plugin";
import { type Stretch, words } from "./stretch.ts";
import { CMD_ID_DONE, CMD_ID_STOP, PAGE_BYTES } from "./wire.ts";

/** Pages in one hint: 4 MiB, the largest blocks that Linux gives. */
const HINT_PAGES = 1024;
/** The cookie of a request is how many pages it hints at: none if it is a command. */
const COMMAND = 0;

/** Tells a device which pages are free when it asks, for example because it is about to copy all others. */
export interface Hints {
  /** Whether the device holds pages or commands. */
  readonly busy: boolean;
  /** Whether the device may still count on pages that it was told of: they stay as they are. */
  readonly holding: boolean;
  /** Counted so far. */
  readonly counters: Readonly<Record<string, number>>;
  /** The device gives a command: the name of a round to begin, or one of the two others (5.5.6.5). */
  command(id: number): void;
  /** Takes what the device is done with. */
  drain(): void;
  /** Goes on with the round; the first `free` pages are. */
  advance(free: number): void;
  /** The queue was reset: begins the round anew. */
  restart(): void;
}

/**
 * Makes hints at the pages of a stretch.
 *
 * @param commands Two words that the device reads.
 */
export function hints(queue: Virtqueue, arena: Stretch, commands: Buffer): Hints {
  const ids = words(commands);
  const counters = { hint_rounds: 0, hinted_pages: 0, hint_pages_held: 0 };
  let wanted = CMD_ID_DONE;
  /** The round that is under way, or was the last one. */
  let round = CMD_ID_DONE;
  let underWay = false;
  /** The next page of the round to hint at. */
  let next = 0;
  ids[1] = CMD_ID_STOP;

  function command(word: number): boolean {
    queue.begin(COMMAND);
    queue.readable(commands.offset + 4 * word, 4);
    return queue.commit();
  }

  /** The device has seen the pages. They are held until it says that it needs them no more. */
  function ended(pages: number): void {
    counters.hinted_pages += pages;
    // That it needs none any more may have been heard before this.
    if (wanted !== CMD_ID_DONE) counters.hint_pages_held += pages;
  }

  function begin(): void {
    // The word may be changed: the device holds no request, so it does not look there.
    ids[0] = wanted;
    if (!command(0)) return;
    round = wanted;
    underWay = true;
    next = 0;
    counters.hint_rounds++;
    counters.hint_pages_held = 0;
  }

  return {
    get busy() {
      return queue.inFlight > 0;
    },
    get holding() {
      return underWay || counters.hint_pages_held > 0;
    },
    counters,
    command(id) {
      wanted = id;
      if (id === CMD_ID_DONE) counters.hint_pages_held = 0;
    },
    drain: () => void queue.drain(ended),
    advance(free) {
      if (wanted > CMD_ID_DONE && wanted !== round && !underWay && queue.inFlight === 0) begin();
      if (!underWay) return;
      while (wanted === round && next < free) {
        const pages = Math.min(free - next, HINT_PAGES);
        queue.begin(pages);
        queue.writable(arena.offset + next * PAGE_BYTES, pages * PAGE_BYTES);
        if (!queue.commit()) return;
        next += pages;
      }
      // A round that is over, or not wanted any more, ends with a word (5.5.6.5).
      if (command(1)) underWay = false;
    },
    restart() {
      round = CMD_ID_DONE;
      underWay = false;
    },
  };
}
