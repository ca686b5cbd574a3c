/**
 * Why a bell was rung: a set of bits. A bell carries no payload; the owner wakes and looks at what the bits name.
 */
export const Cause = {
  /** Requests or completions are in a lane. */
  lane: 1,
  /** A message is in the mailbox. */
  mail: 2,
  /** The driver ran out of doorbell credits. */
  credits: 4,
  /** The watchdog wants to see a sign of life. */
  beat: 8,
  /** The driver has answered an interrupt. */
  answered: 16,
  /** The driver's process asks for an access to a register. */
  register: 32,
  /** The driver's process has written doorbells. */
  doorbell: 64,
} as const;

/** 32-bit words that a bell occupies in shared memory. */
export const BELL_WORDS = 2;

/**
 * A wake-up between two threads or processes: a word of cause bits and a word that says whether the owner sleeps,
 * in shared memory, plus some way to wake a sleeper, which costs nothing while the owner is awake.
 */
export class Bell {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #causes: number;
  readonly #sleeping: number;
  readonly #wake: () => void;

  /**
   * @param words The shared memory.
   * @param at Index of the first of the bell's {@linkcode BELL_WORDS} words, zero at first.
   * @param wake Wakes the owner, which sleeps: usually a write to an eventfd.
   */
  constructor(words: Int32Array<SharedArrayBuffer>, at: number, wake: () => void) {
    this.#words = words;
    this.#causes = at;
    this.#sleeping = at + 1;
    this.#wake = wake;
  }

  /** Says that there is something to do, and wakes the owner if it sleeps. */
  ring(cause: number): void {
    Atomics.or(this.#words, this.#causes, cause);
    // The ringer that takes the flag down does the waking, so that two ringers make one system call.
    if (
      Atomics.load(this.#words, this.#sleeping) !== 0 &&
      Atomics.exchange(this.#words, this.#sleeping, 0) !== 0
    ) this.#wake();
  }

  /** Whether it was rung for one of these causes; a cheap look, for an owner that is busy. */
  hasRung(causes: number): boolean {
    return (this.#words[this.#causes]! & causes) !== 0;
  }

  /** The causes since the last call; for the owner. */
  take(): number {
    return Atomics.load(this.#words, this.#causes) === 0
      ? 0
      : Atomics.exchange(this.#words, this.#causes, 0);
  }

  /**
   * Says that the owner is going to sleep.
   *
   * @returns Whether it may: false if the bell was rung meanwhile.
   */
  sleep(): boolean {
    Atomics.store(this.#words, this.#sleeping, 1);
    if (Atomics.load(this.#words, this.#causes) === 0) return true;
    Atomics.store(this.#words, this.#sleeping, 0);
    return false;
  }

  /** Says that the owner is awake and will look by itself. */
  awake(): void {
    Atomics.store(this.#words, this.#sleeping, 0);
  }
}
