/**
 * A small measurement for tests, made up.
 *
 * @module
 */

import type { Figure } from "./figure.ts";
import { type Measurement, SCHEMA } from "./measurement.ts";

/** A figure of the ring suite. */
export function figure(
  contender: string,
  samples: readonly number[],
  more: Partial<Figure> = {},
): Figure {
  return {
    suite: "ring",
    subject: "split",
    axis: "batch",
    at: 32,
    contender,
    unit: "ns a request",
    better: "less",
    samples,
    ...more,
  };
}

/** A measurement of these figures. */
export function measurement(
  figures: readonly Figure[],
  more: Partial<Measurement> = {},
): Measurement {
  return {
    schema: SCHEMA,
    date: "2026-11-28T12:00:00.000Z",
    revision: "0123abc",
    machine: {
      processor: "A processor",
      processors: 2,
      memoryMiB: 4096,
      kernel: "6.1",
      programs: { deno: "2.9.6" },
    },
    load: { before: 0, after: 1 },
    rounds: 5,
    figures,
    missing: [],
    ...more,
  };
}
