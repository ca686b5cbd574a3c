// What comes of a driver's test.

import type { Isolation } from "../core/kernel/driver_host.ts";

/** What a driver is tested for. */
export const ROWS = [
  "start",
  "plan",
  "types",
  "restart",
  "queue reset",
  "hang",
  "back-pressure",
  "leak",
  "lies",
] as const;

/** So many tests that came to the same are named. */
const NAMED = 6;

/** One of them. */
export type RowName = (typeof ROWS)[number];

/** What a driver did wrong. */
export interface Mistake {
  /** What it was doing: `"it is started anew"`. */
  readonly step: string;
  /** What came of it. */
  readonly found: string;
  /** What should have. */
  readonly wanted: string;
}

/** What came of one test of a driver. */
export interface DriverRow {
  /** What it was tested for. */
  readonly row: RowName;
  /** Where it ran. */
  readonly isolation: Isolation;
  /** Which of several: the lie that its device told, and the kind of ring. */
  readonly detail?: string;
  /** What came of it. */
  readonly result: "passed" | "failed" | "notApplicable";
  /** What the driver did wrong, if it failed. */
  readonly mistake?: Mistake;
  /** What is to be said of it otherwise: why it does not apply, or what became of the lie. */
  readonly reason?: string;
  /** How long it took. */
  readonly milliseconds: number;
}

/** What came of all tests of a driver. */
export interface DriverReport {
  /** The driver's name. */
  readonly driver: string;
  /** In the order of {@linkcode ROWS}. */
  readonly rows: readonly DriverRow[];
}

/** A driver failed some of its tests. */
export class DriverTestError extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "DriverTestError";
  /** All that came of them. */
  readonly report: DriverReport;

  /** Makes the error of a report with failures. */
  constructor(report: DriverReport) {
    const failed = report.rows.filter(({ result }) => result === "failed");
    super(
      [
        `The driver ${report.driver} failed ${failed.length} of ${report.rows.length} tests.`,
        ...failureTexts(report.rows),
      ].join("\n"),
    );
    this.report = report;
  }
}

/**
 * Makes sure that a driver failed none of its tests, and that there were some.
 *
 * @throws {DriverTestError} If it did; the message names each, and what was found and wanted.
 * @throws {TypeError} If nothing was tested.
 */
export function mustPass(report: DriverReport): void {
  if (report.rows.some(({ result }) => result === "failed")) throw new DriverTestError(report);
  if (!report.rows.some(({ result }) => result === "passed")) {
    throw new TypeError(`Nothing was tested of the driver ${report.driver}`);
  }
}

/** A row as a few lines for people. */
export function rowText(row: DriverRow): string {
  const { result, mistake, reason } = row;
  const what = nameOf(row);
  if (mistake) {
    const { step, found, wanted } = mistake;
    return `${what}: failed while ${step}\n  found:  ${
      found.replaceAll("\n", "\n    ")
    }\n  wanted: ${wanted}`;
  }
  const words = result === "notApplicable" ? "does not apply" : result;
  return `${what}: ${words}${reason === undefined ? "" : `: ${reason}`}`;
}

/**
 * Of the rows that failed a few lines each, for people. What several came to is told once, of the first of them, with the
 * names of the others: one mistake makes a driver fail nearly everywhere.
 */
export function failureTexts(rows: readonly DriverRow[]): string[] {
  const failed = rows.filter(({ result }) => result === "failed");
  const alike = Map.groupBy(failed, ({ mistake }) => mistake?.found.split("\n", 1)[0]);
  return [...alike.values()].map(([first, ...others]) => {
    const names = others.slice(0, NAMED).map(nameOf);
    const more = others.length - names.length;
    const also = [...names, ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
    return rowText(first!) + (also === "" ? "" : `\n  so, too: ${also}`);
  });
}

function nameOf({ row, detail, isolation }: DriverRow): string {
  return `${row}${detail === undefined ? "" : ` ${detail}`} (${isolation})`;
}
