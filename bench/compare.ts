/**
 * Two measurements beside each other.
 *
 * @module
 */

import { digits, type Figure, ratios, spread } from "./figure.ts";
import { IDLE, type Measurement } from "./measurement.ts";

/** What became of a figure. */
export interface Change {
  readonly figure: Figure;
  /** Of the later samples to the earlier ones; both as multiples of the yardstick's where there is one. */
  readonly factor: number;
  /** By how much of the median the samples of one of both are spread: what is less is noise. */
  readonly noise: number;
  readonly verdict: "better" | "worse" | "same";
}

/** Compares the figures that both have, and names those that one of them has not. */
export function compare(
  before: Measurement,
  after: Measurement,
): { readonly changes: readonly Change[]; readonly only: readonly string[] } {
  const changes: Change[] = [];
  const only: string[] = [];
  for (const figure of after.figures) {
    const earlier = before.figures.find((other) => keyOf(other) === keyOf(figure));
    if (earlier) changes.push(change(earlier, before, figure, after));
    else only.push(`only in the later: ${nameOf(figure)}`);
  }
  const later = new Set(after.figures.map(keyOf));
  for (const figure of before.figures) {
    if (later.has(keyOf(figure))) continue;
    // What was not asked for is not missed.
    if (!after.figures.some((other) => isOf(figure, other))) continue;
    only.push(`only in the earlier: ${nameOf(figure)}`);
  }
  return { changes, only };
}

function change(
  earlier: Figure,
  before: Measurement,
  figure: Figure,
  after: Measurement,
): Change {
  const relative = [ratios(earlier, before.figures), ratios(figure, after.figures)];
  const [was, is] = relative.every((samples) => samples !== undefined)
    ? relative.map((samples) => spread(samples))
    : [spread(earlier.samples), spread(figure.samples)];
  const factor = is!.median / was!.median;
  const noise = Math.max(
    ...[was!, is!].map(({ median, quarter, threeQuarters }) => (threeQuarters - quarter) / median),
  );
  const isMore = factor > 1 + noise;
  const isLess = factor < 1 / (1 + noise);
  const verdict = !isMore && !isLess
    ? "same"
    : isMore === (figure.better === "more")
    ? "better"
    : "worse";
  return { figure, factor, noise, verdict };
}

function isOf(figure: Figure, other: Figure): boolean {
  return figure.suite === other.suite && figure.subject === other.subject;
}

function keyOf({ suite, subject, axis, at, contender, unit }: Figure): string {
  return JSON.stringify([suite, subject, axis, at, contender, unit]);
}

function nameOf({ suite, subject, axis, at, contender }: Figure): string {
  return `${suite}: ${subject}, ${axis} ${at}, ${contender}`;
}

/** What is to be said of a comparison: changes that are more than noise, and a summary. */
export function tell(before: Measurement, after: Measurement): string {
  const { changes, only } = compare(before, after);
  const said = changes.filter(({ verdict }) => verdict !== "same").map((it) => {
    const { figure, factor, noise, verdict } = it;
    const beside = figure.yardstick && figure.yardstick !== figure.contender
      ? `, as a multiple of ${figure.yardstick}`
      : "";
    return `${verdict}: ${nameOf(figure)}: ${
      digits(factor)
    } times as many ${figure.unit}${beside} (noise ${Math.round(noise * 100)} %)`;
  });
  const same = changes.length - said.length;
  const elsewhere = before.machine.processor === after.machine.processor &&
      before.machine.processors === after.machine.processors
    ? []
    : [`The earlier was measured on another machine: ${before.machine.processor}.`];
  const busy = ([["earlier", before], ["later", after]] as const)
    .filter(([, { load }]) => load.before > IDLE)
    .map(([name, { load }]) =>
      `The machine was busy when the ${name} was measured (load ${load.before.toFixed(1)}).`
    );
  const since = `since ${before.date}${before.revision && ` (${before.revision})`}`;
  return [
    ...elsewhere,
    ...busy,
    ...said,
    ...only,
    `${said.length} of ${changes.length} figures have changed ${since}; of ${same} it cannot be told for noise.`,
  ].join("\n");
}
