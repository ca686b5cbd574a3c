// Finds a driver's process that hangs, by its own time.

import { type Bell, Cause } from "../bus/bell.ts";
import { ControlWord, FIRST_BEAT } from "../bus/control.ts";
import { OwnTime, type Spent } from "../linux/own_time.ts";
import type { Patience } from "./patience.ts";

/** Where Deno took long to start, everything does: a driver has so many times as long. */
const SLOWNESS = 2;

/** What a watchdog watches. */
export interface Watched {
  /** The process. */
  readonly pid: number;
  /** The words that it shares with the core. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Its bell. */
  readonly bell: Bell;
  /** How patient its watchdog is. */
  readonly patience: Patience;
}

/**
 * Watches that a driver's process lives: again and again it is asked for a sign of life, and has so much of its own time
 * to give one. The first it gives unasked, when Deno is up and before the driver is loaded; so a driver that loops or
 * sleeps while it is loaded, plans, starts or works is found alike.
 *
 * A sign of life is no proof of health: a driver that answers and does nothing is found by the deadlines of what was
 * asked of it.
 */
export class Watchdog implements Disposable {
  readonly #watched: Watched;
  readonly #bites: (reason: string) => void;
  readonly #time: OwnTime;
  readonly #timer: ReturnType<typeof setInterval>;
  #asked = FIRST_BEAT;
  #askedAt = performance.now();
  #waiting = true;
  #started = false;
  /** How much of its own time it has for the sign of life that is waited for. */
  #patience: number;
  #spent: Spent = { own: 0, worked: 0 };

  /** @param bites Called with a reason when the driver does not live, once. */
  constructor(watched: Watched, bites: (reason: string) => void) {
    this.#watched = watched;
    this.#bites = bites;
    const { look, start } = watched.patience;
    this.#patience = start;
    this.#time = new OwnTime(watched.pid, 2 * look);
    this.#timer = setInterval(() => this.#look(), look);
  }

  #ask(): void {
    this.#asked = this.#asked + 1 | 0;
    this.#askedAt = performance.now();
    this.#waiting = true;
    this.#spent = { own: 0, worked: 0 };
    this.#time.skip();
    Atomics.store(this.#watched.words, ControlWord.beatAsked, this.#asked);
    this.#watched.bell.ring(Cause.beat);
  }

  #look(): void {
    const answered = Atomics.load(this.#watched.words, ControlWord.beatAnswered);
    if (this.#waiting && answered === (this.#asked - 1 | 0)) return this.#wait();
    if (answered !== this.#asked) {
      return this.#bite("it gave a sign of life that it was not asked for");
    }
    if (this.#waiting) this.#hear();
    if (performance.now() - this.#askedAt >= this.#watched.patience.beat) this.#ask();
  }

  #wait(): void {
    this.#time.addTo(this.#spent);
    const { own, worked } = this.#spent;
    if (own < this.#patience) return;
    const seconds = Math.round((this.#patience + this.#watched.patience.beat) / 100) / 10;
    const how = worked > own / 2 ? "works without end" : "sleeps";
    this.#bite(`it gave no sign of life for ${seconds} s: it hangs, it ${how}`);
  }

  #hear(): void {
    this.#waiting = false;
    if (this.#started) return;
    this.#started = true;
    this.#time.addTo(this.#spent);
    this.#patience = Math.max(this.#watched.patience.life, SLOWNESS * this.#spent.worked);
  }

  #bite(reason: string): void {
    this[Symbol.dispose]();
    this.#bites(reason);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
