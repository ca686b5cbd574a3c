// poll(2), in place and on another thread.

import { errno, OsError } from "./os_error.ts";
import { libc } from "./libc.ts";
import { EINTR } from "./numbers.ts";

/** There is something to read. */
export const POLLIN = 1;
/** There is room to write. */
export const POLLOUT = 4;
/** The other side is gone or the descriptor is bad; always reported, asked for or not. */
export const POLLERR_OR_HUP = 0x8 | 0x10 | 0x20;

/**
 * Descriptors to wait on: two 32-bit words each, as in poll(2): the descriptor, then the wanted events in the
 * low and the seen events in the high half.
 */
export type PollSet = Int32Array<ArrayBuffer>;

/** Waits for the descriptors of a set; see {@linkcode poll}. */
export type Poll = (timeout: number) => number;

/**
 * Makes a {@linkcode poll} of one set that goes on working when this process has given up FFI.
 *
 * Safety: set and count are fixed here, and a plugin gets hold of neither.
 *
 * @throws OsError from the function, if the set is wrong.
 */
export function poller(set: PollSet): Poll {
  const c = libc();
  errno();
  const count = set.length >> 1;
  return (timeout) => {
    const ready = c.poll(set, count, timeout);
    if (ready >= 0) return ready;
    if (errno() !== EINTR) throw new OsError("Cannot wait for events", errno());
    return 0;
  };
}

/**
 * Waits until one of the first `count` descriptors of the set is ready, blocking this thread.
 *
 * @param timeout Milliseconds, 0 to only look, -1 for no limit.
 * @returns How many are ready; 0 when the time is over or a signal came.
 */
export function poll(set: PollSet, count: number, timeout: number): number {
  return poller(first(set, count))(timeout);
}

/**
 * As {@linkcode poll}, on another thread: this one goes on meanwhile. Costs about 25 µs more.
 *
 * Safety: `set` must stay untouched until the promise settles.
 */
export async function pollAsync(set: PollSet, count: number, timeout: number): Promise<number> {
  // A failure's number is lost on the other thread; the caller looks again, and a bad descriptor is an event.
  return Math.max(0, await libc().poll_async(first(set, count), count, timeout));
}

/** The first `count` descriptors, which must be there. */
function first(set: PollSet, count: number): PollSet {
  if (2 * count <= set.length) return set.length === 2 * count ? set : set.subarray(0, 2 * count);
  throw new RangeError(`Cannot wait for ${count} descriptors: the set has ${set.length >> 1}`);
}

/** An absence that is longer shows that others need the processor, in milliseconds. */
const SOON_MS = 0.5;

/**
 * Makes a function that offers the processor to another thread, also when FFI was given up. It returns whether this one
 * had it back soon; if not, a sleep does better than to look on, since a thread that is woken goes before those that run.
 */
export function yielder(): () => boolean {
  const { sched_yield } = libc();
  return () => {
    const before = performance.now();
    sched_yield();
    return performance.now() - before < SOON_MS;
  };
}
