/**
 * What a suite is.
 *
 * @module
 */

import type { Figure } from "./figure.ts";

/** A part of the benchmark, in a file of `suites/` named after it. */
export interface Suite {
  readonly name: string;
  /** What it measures, in a line. */
  readonly what: string;
  /**
   * What it measures, one after the other.
   *
   * @param folder Of the run: for sockets and programs, removed at its end.
   * @param missing Called for each peer that is not here, with why.
   */
  subjects(folder: string, missing: (why: string) => void): AsyncIterable<Subject>;
}

/** What contenders are measured by, round after round, each in turn. */
export interface Subject
  extends Pick<Figure, "subject" | "axis" | "unit" | "better" | "yardstick"> {
  /** Where on the axis. */
  readonly points: readonly number[];
  readonly contenders: readonly Contender[];
  /** Rounds, where a sample takes long; those of the run if left out. */
  readonly rounds?: number;
}

/** One of those that are measured beside each other. */
export interface Contender {
  readonly name: string;
  /**
   * A program that prints `ready` when it is, and then for each line of its standard input, which is a point, a line: a
   * sample, or why there is none. It is quiet in between, as are its devices.
   */
  readonly command: readonly string[];
}
