// Answers that the core waits for, with deadlines.

import type { FromDriver } from "../bus/message.ts";

/** The driver is no more: nothing that it was asked will be answered. */
export class DriverGone extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "DriverGone";
}

type MessageOf<T extends FromDriver["type"]> = Extract<FromDriver, { type: T }>;

interface Expectation {
  readonly types: readonly FromDriver["type"][];
  readonly resolve: (message: FromDriver) => void;
  readonly reject: (error: Error) => void;
}

/** What the core waits to hear from a driver: each answer has a deadline and exactly one outcome. */
export class Conversation {
  #expected: readonly Expectation[] = [];
  #over: Error | undefined;

  /**
   * Waits for a message of one of `types`.
   *
   * @param deadline Milliseconds.
   * @throws DriverGone If the driver is gone, or does not answer in time.
   */
  expect<T extends FromDriver["type"]>(deadline: number, ...types: T[]): Promise<MessageOf<T>> {
    if (this.#over) return Promise.reject(this.#over);
    return new Promise<MessageOf<T>>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#forget(expectation);
        reject(
          new DriverGone(`The driver did not send ${types.join(" or ")} within ${deadline} ms`),
        );
      }, deadline);
      const expectation: Expectation = {
        types,
        resolve(message) {
          clearTimeout(timer);
          resolve(message as MessageOf<T>);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#expected = [...this.#expected, expectation];
    });
  }

  #forget(expectation: Expectation): void {
    this.#expected = this.#expected.filter((each) => each !== expectation);
  }

  /** Hands a message in. Returns whether it was expected. */
  hear(message: FromDriver): boolean {
    const expectation = this.#expected.find(({ types }) => types.includes(message.type));
    if (!expectation) return false;
    this.#forget(expectation);
    expectation.resolve(message);
    return true;
  }

  /** @throws The reason, if it was ended. */
  throwIfOver(): void {
    if (this.#over) throw this.#over;
  }

  /** Ends all waiting, now and to come. The first reason stands. */
  end(reason: Error): void {
    this.#over ??= reason;
    const expected = this.#expected;
    this.#expected = [];
    for (const expectation of expected) expectation.reject(this.#over);
  }
}
