export interface RetryOptions {
  multiplier?: number;
  maxTimeout?: number;
  maxAttempts?: number;
  minTimeout?: number;
  jitter?: number;
  signal?: AbortSignal;
  isRetriable?: (error: unknown) => boolean;
}

export class RetryError extends Error {
  constructor(cause: unknown, attempts: number);
}

export function retry<T>(fn: (() => Promise<T>) | (() => T), options?: RetryOptions): Promise<T>;
