// News for any number of readers, each with a bounded buffer.

import * as argument from "../bus/arguments.ts";

/** What happens, told to any number of readers: each has a {@linkcode Feed} of its own. */
export class News<T> {
  readonly #where: string;
  readonly #options: NewsOptions<T>;
  readonly #feeds = new Set<Reading<T>>();
  #over = false;

  /**
   * Nothing has happened yet.
   *
   * @param where The method that hands out feeds, for errors: `"NetClient.changes"`.
   */
  constructor(where: string, options: NewsOptions<T> = {}) {
    this.#where = where;
    this.#options = options;
  }

  /** How many read. */
  get readers(): number {
    return this.#feeds.size;
  }

  /**
   * What happens from now on, for one more reader.
   *
   * @throws TypeError If what an application chose is of the wrong kind.
   * @throws RangeError If no feed has such a capacity.
   */
  feed({ signal, capacity, first }: FeedOptions<T> = {}): Feed<T> {
    argument.abortSignal(signal, this.#where, "signal");
    if (capacity !== undefined) argument.integer(capacity, this.#where, "capacity", 1);
    const options = capacity === undefined ? this.#options : { ...this.#options, capacity };
    const end = () => feed.end();
    const feed = new Reading<T>(options, () => {
      this.#feeds.delete(feed);
      signal?.removeEventListener("abort", end);
    });
    if (this.#over || signal?.aborted) {
      end();
      return feed;
    }
    if (first !== undefined) feed.put(first);
    this.#feeds.add(feed);
    signal?.addEventListener("abort", end);
    return feed;
  }

  /**
   * Tells it to all readers.
   *
   * @param copy Makes what readers but the first get; the same if left out.
   */
  tell(value: T, copy: (value: T) => T = (same) => same): void {
    let first = true;
    for (const feed of this.#feeds) {
      feed.put(first ? value : copy(value));
      first = false;
    }
  }

  /** Nothing will happen any more; what waits can still be read. */
  end(): void {
    this.#over = true;
    for (const feed of this.#feeds) feed.end();
  }
}

/** How news wait for a reader. */
export interface NewsOptions<T> {
  /** How much may wait, at least one; 256 if left out. */
  readonly capacity?: number;
  /** What stays if more comes: what has waited longest, or what came last; the latter if left out. */
  readonly keep?: "oldest" | "newest";
  /** What is told instead of all that waits, if more comes than may wait: for readers that must know that they missed some. */
  readonly missed?: T;
}

/** What a reader of {@linkcode News} may choose. */
export interface FeedOptions<T> {
  /** Ends the feed: nothing comes after it is aborted, and what waits can still be read. */
  readonly signal?: AbortSignal | undefined;
  /** How much may wait, if it is not what is usual; at least one. */
  readonly capacity?: number | undefined;
  /** What comes first, before anything has happened. */
  readonly first?: T;
}

/**
 * News that come from now on, in their order, as an asynchronous iterator with a bounded buffer. It ends when it is
 * disposed, when its signal is aborted, and when nothing will come any more.
 */
export interface Feed<T> extends AsyncIterableIterator<T, undefined>, Disposable {
  /** How much was dropped because too much waited. */
  readonly dropped: number;
  /** What comes next. */
  next(): Promise<IteratorResult<T, undefined>>;
  /** Ends it; what a loop does that is left. */
  return(): Promise<IteratorResult<T, undefined>>;
  /** It is its own iterator. */
  [Symbol.asyncIterator](): this;
}

/** What may wait for a reader, usually. */
const CAPACITY = 256;

class Reading<T> implements Feed<T> {
  readonly #options: NewsOptions<T>;
  readonly #closed: () => void;
  readonly #waiting: T[] = [];
  readonly #readers: ((result: IteratorResult<T, undefined>) => void)[] = [];
  #dropped = 0;
  #over = false;

  constructor(options: NewsOptions<T>, closed: () => void) {
    this.#options = options;
    this.#closed = closed;
  }

  get dropped(): number {
    return this.#dropped;
  }

  put(value: T): void {
    if (this.#over) return;
    const reader = this.#readers.shift();
    if (reader) return reader({ value, done: false });
    const { capacity = CAPACITY, keep, missed } = this.#options;
    if (this.#waiting.length < capacity) return void this.#waiting.push(value);
    if (missed !== undefined) {
      this.#dropped += this.#waiting.length;
      this.#waiting.splice(0, capacity, missed);
    } else {
      this.#dropped++;
      if (keep === "oldest") return;
      this.#waiting.shift();
    }
    this.#waiting.push(value);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiting.length > 0) {
      return Promise.resolve({ value: this.#waiting.shift()!, done: false });
    }
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this[Symbol.dispose]();
    return Promise.resolve({ value: undefined, done: true });
  }

  end(): void {
    this.#over = true;
    this.#closed();
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.dispose](): void {
    this.#waiting.length = 0;
    this.end();
  }
}
