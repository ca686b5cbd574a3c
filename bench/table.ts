/**
 * Figures as a text of columns.
 *
 * @module
 */

import { digits, type Figure, ratios, spread } from "./figure.ts";

/** Figures with the same columns. */
export interface Table {
  readonly axis: string;
  readonly unit: string;
  readonly better: Figure["better"];
  readonly yardstick: string | undefined;
  readonly contenders: readonly string[];
  readonly rows: readonly Row[];
}

/** What was measured at a point of a subject. */
export interface Row {
  readonly subject: string;
  readonly at: number;
  /** One for each contender that has one. */
  readonly cells: readonly (Figure | undefined)[];
}

/** Figures by their columns. */
export function tables(figures: readonly Figure[]): Table[] {
  const kinds = Map.groupBy(
    figures,
    ({ axis, unit, better, yardstick }) => JSON.stringify([axis, unit, better, yardstick]),
  );
  return [...kinds.values()].map((all) => {
    const { axis, unit, better, yardstick } = all[0]!;
    const contenders = [...new Set(all.map(({ contender }) => contender))];
    const rows = [...Map.groupBy(all, ({ subject, at }) => JSON.stringify([subject, at])).values()]
      .map((row) => ({
        subject: row[0]!.subject,
        at: row[0]!.at,
        cells: contenders.map((name) => row.find(({ contender }) => contender === name)),
      }));
    return { axis, unit, better, yardstick, contenders, rows };
  });
}

/** A figure with its spread, and what it is of the yardstick: `"51.9 (50.2-53.1)  7.2x"`. */
export function cell(figure: Figure | undefined, all: readonly Figure[]): string {
  if (figure === undefined) return "-";
  const { median, quarter, threeQuarters } = spread(figure.samples);
  const text = `${digits(median)} (${digits(quarter)}-${digits(threeQuarters)})`;
  const relative = ratios(figure, all);
  return relative ? `${text}  ${digits(spread(relative).median)}x` : text;
}

/** For a terminal. */
export function print(figures: readonly Figure[]): string {
  return tables(figures).map(({ axis, unit, contenders, rows }) => {
    const lines = [
      [unit, axis, ...contenders],
      ...rows.map(({ subject, at, cells }) => [
        subject,
        `${at}`,
        ...cells.map((figure) => cell(figure, figures)),
      ]),
    ];
    const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
    return lines.map((line) =>
      line.map((text, i) => i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))
        .join("  ")
    ).join("\n");
  }).join("\n\n");
}
