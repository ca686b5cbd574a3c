/** How long a program that a test starts may take, in milliseconds: many times what the slowest takes. */
export const PATIENCE = 300_000;

/** Ends a program that hangs, so that its test fails instead of waiting for ever. */
export function patience(): AbortSignal {
  return AbortSignal.timeout(PATIENCE);
}
