export interface DeadlineOptions {
  signal?: AbortSignal;
}

/** Rejects with a `DOMException` named `TimeoutError` when `p` is not settled in time. */
export function deadline<T>(p: Promise<T>, ms: number, options?: DeadlineOptions): Promise<T>;
