import type { ClientLane } from "../class/client_lane.ts";

/**
 * Watches that the requests of a lane end in time, at no cost for a request: each look notes how many had been
 * submitted by then, and a request is late if it is older than a note of so long ago.
 */
export class Deadline {
  /** How long a request may take; 0 for ever. */
  readonly milliseconds: number;
  readonly #lane: Pick<ClientLane, "submissions" | "oldest">;
  /** The first is the newest that is old enough, once there is one. */
  #notes: { readonly at: number; readonly submissions: number }[] = [];

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
    notes.push({ at: now, submissions: this.#lane.submissions });
    const old = now - this.milliseconds;
    while (notes.length > 1 && notes[1]!.at <= old) notes.shift();
    return notes[0]!.at <= old && this.#lane.oldest() < notes[0]!.submissions;
  }

  /** Gives all requests in flight their time again. */
  restart(): void {
    this.#notes = [];
  }
}
