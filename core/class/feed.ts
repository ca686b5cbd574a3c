/** How what comes waits for its reader. */
export interface FeedOptions {
  /** How much may wait; at least one. */
  readonly capacity: number;
  /** What stays if more comes: what has waited longest, or what came last. */
  readonly keep: "oldest" | "newest";
}

/**
 * Things that come from now on, in their order, as an asynchronous iterator with a bounded buffer. It ends when it is
 * disposed, and when nothing will come any more.
 */
export class Feed<T> implements AsyncIterableIterator<T, undefined>, Disposable {
  readonly #options: FeedOptions;
  readonly #closed: (feed: Feed<T>) => void;
  readonly #waiting: T[] = [];
  readonly #readers: ((result: IteratorResult<T, undefined>) => void)[] = [];
  #dropped = 0;
  #over = false;

  /** Made by a client, which is told when it is disposed. */
  constructor(options: FeedOptions, closed: (feed: Feed<T>) => void) {
    this.#options = options;
    this.#closed = closed;
  }

  /** How much was dropped because too much waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes something in; for the client. */
  put(value: T): void {
    if (this.#over) return;
    const reader = this.#readers.shift();
    if (reader) return reader({ value, done: false });
    const { capacity, keep } = this.#options;
    if (this.#waiting.length < capacity) {
      this.#waiting.push(value);
      return;
    }
    this.#dropped++;
    if (keep === "oldest") return;
    this.#waiting.shift();
    this.#waiting.push(value);
  }

  /** What comes next. */
  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiting.length > 0) {
      return Promise.resolve({ value: this.#waiting.shift()!, done: false });
    }
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /** Ends it; what a loop does that is left. */
  return(): Promise<IteratorResult<T, undefined>> {
    this[Symbol.dispose]();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Nothing will come any more; what waits can still be read. For the client. */
  end(): void {
    this.#over = true;
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
  }

  /** It is its own iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends it, and forgets what waits. */
  [Symbol.dispose](): void {
    this.#closed(this);
    this.#waiting.length = 0;
    this.end();
  }
}
