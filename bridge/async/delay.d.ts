export interface DelayOptions {
  signal?: AbortSignal;
  /** Whether the pending timer keeps the process alive. True unless said otherwise. */
  persistent?: boolean;
}

export function delay(ms: number, options?: DelayOptions): Promise<void>;
