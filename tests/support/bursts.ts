/**
 * Requests in bursts, each over before the next begins: again and again driver and device are about to go to sleep while
 * the other has something for them. A wake-up that is lost there stops everything, where nothing looks by itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { BlockClient } from "../../classes/block/client.ts";
import { BlockOperation } from "../../classes/block/protocol.ts";
import type { NetClient } from "../../classes/network/client.ts";
import { Status } from "../../core/bus/lane.ts";
import { within } from "./net.ts";

/** How the application waits: for promises, while the core's loop waits on another thread, or by blocking its own. */
export type Waiting = "promises" | "wait";

/** A burst that is not over by then has lost a wake-up, in milliseconds. */
export const STALL = 20_000;
/** Requests of the longest burst. */
const LONGEST = 32;
const SECTOR = 512;

/** Lengths of bursts, which sum up to `count`; no two runs differ. */
function* lengths(count: number): Generator<number> {
  let state = 12345;
  for (let left = count; left > 0;) {
    state = Math.imul(state, 1103515245) + 12345 >>> 0;
    const length = Math.min(left, 1 + (state >>> 16) % LONGEST);
    left -= length;
    yield length;
  }
}

function stalled(what: string, done: number, length: number, stall: number): Error {
  return new Error(`${what}: of a burst of ${length}, ${done} ended within ${stall} ms`);
}

/** Reads the first sectors of a disk. Returns how many bursts there were. */
export async function readBursts(
  { slots }: BlockClient,
  count: number,
  waiting: Waiting,
  stall = STALL,
): Promise<number> {
  let bursts = 0;
  let done = 0;
  let all = () => {};
  let length = 0;
  let wrong: number = Status.ok;
  const ended = (slot: number, status: number) => {
    wrong ||= status;
    slots.release(slot);
    if (++done === length) all();
  };
  for (length of lengths(count)) {
    const over = Promise.withResolvers<void>();
    all = over.resolve;
    done = 0;
    for (let i = 0; i < length; i++) {
      const slot = slots.take();
      assert(slot >= 0, "no slot is free");
      slots.submit(slot, BlockOperation.read, i, SECTOR, ended);
    }
    slots.publish();
    if (waiting === "wait") {
      while (done < length) {
        if (slots.wait(stall) === 0) throw stalled("reads", done, length, stall);
      }
    } else await within(`a burst of ${length} reads`, over.promise, stall);
    assertEquals(wrong, Status.ok);
    bursts++;
  }
  return bursts;
}

/**
 * Sends frames, and has them back where the other side returns them. Returns how many bursts there were.
 *
 * @param returns Whether it does.
 */
export async function frameBursts(
  client: NetClient,
  count: number,
  waiting: Waiting,
  returns: boolean,
): Promise<number> {
  const { slots } = client;
  using receiver = slots.receive();
  let bursts = 0;
  let length = 0;
  let sent = 0;
  let came = 0;
  let wrong: number = Status.ok;
  const gone = (slot: number, status: number) => {
    wrong ||= status;
    slots.release(slot);
    sent++;
  };
  const take = (slot: number) => {
    receiver.release(slot);
    came++;
  };
  const over = () => {
    receiver.drain(take);
    receiver.publish();
    return sent >= length && (!returns || came >= length);
  };
  for (length of lengths(count)) {
    sent = came = 0;
    for (let i = 0; i < length; i++) {
      const slot = slots.take();
      assert(slot >= 0, "no slot is free");
      slots.data(slot).fill(0xff, 0, 64);
      slots.submit(slot, 64, gone);
    }
    slots.publish();
    if (waiting === "wait") {
      while (!over()) if (slots.wait(STALL) === 0) throw stalled("frames", came, length, STALL);
    } else {
      const end = performance.now() + STALL;
      while (!over()) {
        if (performance.now() > end) throw stalled("frames", came, length, STALL);
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    }
    assertEquals(wrong, Status.ok);
    bursts++;
  }
  return bursts;
}
