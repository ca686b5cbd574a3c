/**
 * What was measured, and what can be said of it.
 *
 * @module
 */

/** One contender at one point of one subject: a sample for each round. */
export interface Figure {
  /** Name of the suite. */
  readonly suite: string;
  /** What was measured: `"split ring, 1 descriptor"`. */
  readonly subject: string;
  /** What `at` counts: `"depth"`. */
  readonly axis: string;
  /** Where on the axis. */
  readonly at: number;
  /** Which implementation, or where it ran: `"C"`, `"inline"`. */
  readonly contender: string;
  /** Of the samples: `"ns a request"`. */
  readonly unit: string;
  /** Which of two samples is the better one. */
  readonly better: "less" | "more";
  /**
   * The contender, of another project, that each sample is to be held against: the one of the same round, which the
   * same mood of the machine bore on.
   */
  readonly yardstick?: string;
  /** One for each round, in their order. */
  readonly samples: readonly number[];
}

/** The middle of some samples, and how far they are spread. */
export interface Spread {
  readonly median: number;
  /** A quarter of the samples is less, a quarter more. */
  readonly quarter: number;
  readonly threeQuarters: number;
}

/** What stands at a part of the way through sorted samples. */
function quantile(sorted: readonly number[], part: number): number {
  const place = (sorted.length - 1) * part;
  const below = sorted[Math.floor(place)]!;
  return below + (sorted[Math.ceil(place)]! - below) * (place % 1);
}

/** Sums up samples. */
export function spread(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    quarter: quantile(sorted, 0.25),
    threeQuarters: quantile(sorted, 0.75),
  };
}

/** Samples as multiples of the yardstick's of the same rounds; undefined if it has none. */
export function ratios(figure: Figure, all: readonly Figure[]): readonly number[] | undefined {
  const yardstick = all.find((other) =>
    other.contender === figure.yardstick && other.suite === figure.suite &&
    other.subject === figure.subject && other.at === figure.at
  );
  if (yardstick === undefined || yardstick === figure) return undefined;
  return figure.samples.map((sample, round) => sample / yardstick.samples[round]!);
}

/** A number with three digits that matter. */
export function digits(value: number): string {
  if (value < 1) return value.toPrecision(2);
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}
