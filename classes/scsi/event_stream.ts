import type { ScsiEvent } from "./event.ts";

/** Events that one reader may leave unread; then the oldest go. */
const KEPT = 256;

/** The events since it was made, for one reader. It ends when the device is gone. */
export class EventStream implements AsyncIterableIterator<ScsiEvent> {
  readonly #unread: ScsiEvent[] = [];
  readonly #forget: (stream: EventStream) => void;
  readonly #waiting: (() => void)[] = [];
  #over = false;

  /** @param forget Called when it is read no more. */
  constructor(forget: (stream: EventStream) => void) {
    this.#forget = forget;
  }

  /** Puts an event in. */
  push(event: ScsiEvent): void {
    if (this.#unread.length === KEPT) {
      this.#unread.splice(0, KEPT, { kind: "missed" });
    }
    this.#unread.push(event);
    this.#wake();
  }

  /** Ends it, after what is unread. */
  end(): void {
    this.#over = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The next event. */
  async next(): Promise<IteratorResult<ScsiEvent, undefined>> {
    for (;;) {
      const event = this.#unread.shift();
      if (event) return { done: false, value: event };
      if (this.#over) return { done: true, value: undefined };
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Ends it, because it is read no more. */
  return(): Promise<IteratorResult<ScsiEvent, undefined>> {
    this.#unread.length = 0;
    this.end();
    this.#forget(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
