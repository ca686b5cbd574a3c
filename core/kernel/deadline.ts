import type { ClientLane } from "../bus/client_lane.ts";

/** What passes between two looks counts up to this many milliseconds. */
const MOST_BETWEEN_LOOKS = 1000;
/** And up to such a part of the deadline, so that no standstill of this program makes a request late by itself. */
const LEAST_LOOKS = 4;

/**
 * Watches that the requests of a lane end in time, at no cost for a request: each look notes how many had been
 * submitted by then, and a request is late if it is older than a note of so long ago. The time is that in which the
 * core looked: a program that was stopped (Ctrl-Z) could not see any request end.
 */
export class Deadline {
  /** How long a request may take; 0 for ever. */
  readonly milliseconds: number;
  readonly #lane: Pick<ClientLane, "submissions" | "oldest">;
  /** The first is the newest that is old enough, once there is one. */
  #notes: { readonly at: number; readonly submissions: number }[] = [];
  #now = 0;
  #looked = -Infinity;

  constructor(lane: Pick<ClientLane, "submissions" | "oldest">, milliseconds: number) {
    this.#lane = lane;
    this.milliseconds = milliseconds;
  }

  /**
   * Whether some request took too long; to be asked again and again.
   *
   * @param now The time in milliseconds.
   */
  passed(now: number): boolean {
    if (this.milliseconds === 0) return false;
    const notes = this.#notes;
    this.#now += Math.min(
      now - this.#looked,
      MOST_BETWEEN_LOOKS,
      this.milliseconds / LEAST_LOOKS,
    );
    this.#looked = now;
    notes.push({ at: this.#now, submissions: this.#lane.submissions });
    const old = this.#now - this.milliseconds;
    while (notes.length > 1 && notes[1]!.at <= old) notes.shift();
    return notes[0]!.at <= old && this.#lane.oldest() < notes[0]!.submissions;
  }

  /** Gives all requests in flight their time again. */
  restart(): void {
    this.#notes = [];
  }
}
