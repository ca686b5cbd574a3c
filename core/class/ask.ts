// Questions to a driver by the slots of a lane.

import type { ClientLane } from "../bus/client_lane.ts";
import { RECORD_WORDS, Status, Word } from "../bus/lane.ts";
import { RequestError } from "../bus/request_error.ts";

/**
 * Asks something of a driver, whatever comes of it. It is submitted at once if there is a free slot, else when there is
 * one, in the order of calls.
 *
 * This is for what is asked now and then; a hot path takes slots.
 *
 * @param action For the error: `"Cannot set the MAC address"`.
 * @throws RangeError If the slots of the lane do not hold the data.
 */
export async function ask(
  lane: ClientLane,
  action: string,
  question: Question,
): Promise<Answer> {
  const { operation, words = {}, data = NOTHING, length = data.length, once = false } = question;
  if (Math.max(data.length, length) > lane.slotBytes) {
    throw new RangeError(
      `${action}: ${Math.max(data.length, length)} bytes are more than ${lane.slotBytes}`,
    );
  }
  let slot = lane.take();
  if (slot < 0) slot = await new Promise<number>((resolve) => lane.whenFree(resolve));
  if (slot < 0) return { status: Status.gone, words: new Uint32Array(RECORD_WORDS), data: NOTHING };
  for (let word = 0; word < RECORD_WORDS; word++) lane.setWord(slot, word, words[word] ?? 0);
  lane.setWord(slot, Word.operation, operation);
  lane.setWord(slot, Word.length, length);
  lane.data(slot).set(data);
  return await new Promise((resolve) => {
    lane.submit(slot, (_, status, moved) => {
      const answer = {
        status,
        words: Uint32Array.from({ length: RECORD_WORDS }, (_, word) => lane.word(slot, word)),
        data: lane.data(slot).slice(0, moved),
      };
      lane.release(slot);
      resolve(answer);
    }, once);
    lane.publish();
  });
}

/** What a client asks of a driver by one slot of a lane. */
export interface Question {
  /** What to do, as the class says: the word `Word.operation`. */
  readonly operation: number;
  /** More words of the record, by their place; the others are 0. */
  readonly words?: Readonly<Record<number, number>>;
  /** The slot's data: at most as many bytes as it holds. */
  readonly data?: Uint8Array;
  /** Bytes to move, for the word `Word.length`; those of `data` if left out. */
  readonly length?: number;
  /** Whether doing it twice would do harm: it ends as `Status.unknown` if the device is started anew before it has ended. */
  readonly once?: boolean;
}

/** What came of a {@linkcode Question}: a copy of what the driver left in the slot, not to be trusted. */
export interface Answer {
  /** How it ended: a `Status`. */
  readonly status: number;
  /** The record's words, as many as a record has. */
  readonly words: Uint32Array<ArrayBuffer>;
  /** The slot's data: as many bytes as the driver says, at most what the slot holds. */
  readonly data: Uint8Array<ArrayBuffer>;
}

const NOTHING = new Uint8Array(0);

/**
 * Asks something of a driver that must succeed.
 *
 * @param action For the error: `"Cannot set the MAC address"`.
 * @throws RequestError If it does not.
 * @throws RangeError If the slots of the lane do not hold the data.
 */
export async function demand(
  lane: ClientLane,
  action: string,
  question: Question,
): Promise<Answer> {
  const answer = await ask(lane, action, question);
  if (answer.status === Status.ok) return answer;
  throw new RequestError(action, answer.status);
}
