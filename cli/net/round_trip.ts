/** Figures of round trips, in milliseconds, as ping(8) has them. */
export interface RoundTrip {
  readonly minimum: number;
  readonly average: number;
  readonly maximum: number;
  /** How far they are from the average, as a root mean square. */
  readonly deviation: number;
}

/** The figures of these times; undefined if there are none. */
export function roundTrip(times: readonly number[]): RoundTrip | undefined {
  if (times.length === 0) return undefined;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;
  const average = mean(times);
  return {
    minimum: Math.min(...times),
    average,
    maximum: Math.max(...times),
    deviation: Math.sqrt(mean(times.map((time) => (time - average) ** 2))),
  };
}
