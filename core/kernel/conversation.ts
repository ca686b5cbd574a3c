import type { FromPlugin } from "../bus/message.ts";

/** The driver is no more: nothing that it was asked will be answered. */
export class PluginGone extends Error {
  override readonly name = "PluginGone";
}

type MessageOf<T extends FromPlugin["type"]> = Extract<FromPlugin, { type: T }>;

interface Expectation {
  readonly types: readonly FromPlugin["type"][];
  readonly resolve: (message: FromPlugin) => void;
  readonly reject: (error: Error) => void;
}

/** What the core waits to hear from a driver: one answer at a time, each with a deadline and exactly one outcome. */
export class Conversation {
  #expected: Expectation | undefined;
  #over: Error | undefined;

  /**
   * Waits for a message of one of `types`.
   *
   * @param deadline Milliseconds.
   * @throws PluginGone If the driver is gone, or does not answer in time.
   */
  expect<T extends FromPlugin["type"]>(deadline: number, ...types: T[]): Promise<MessageOf<T>> {
    if (this.#over) return Promise.reject(this.#over);
    if (this.#expected) {
      throw new Error(`Cannot wait for ${types}: already waiting for ${this.#expected.types}`);
    }
    return new Promise<MessageOf<T>>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#expected = undefined;
        reject(
          new PluginGone(`The driver did not send ${types.join(" or ")} within ${deadline} ms`),
        );
      }, deadline);
      this.#expected = {
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
    });
  }

  /** Hands a message in. Returns whether it was expected. */
  hear(message: FromPlugin): boolean {
    const expected = this.#expected;
    if (!expected?.types.includes(message.type)) return false;
    this.#expected = undefined;
    expected.resolve(message);
    return true;
  }

  /** Ends all waiting, now and to come. The first reason stands. */
  end(reason: Error): void {
    this.#over ??= reason;
    const expected = this.#expected;
    this.#expected = undefined;
    expected?.reject(reason);
  }
}
