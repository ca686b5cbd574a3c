/**
 * A measurement as a page with pictures.
 *
 * @module
 */

import { spread } from "./figure.ts";
import { IDLE, type Measurement } from "./measurement.ts";
import { plot } from "./plot.ts";
import { PUBLISHED } from "./published.ts";
import { cell, type Table, tables } from "./table.ts";

/** A page, and the files that it shows. */
export interface Report {
  readonly page: string;
  /** Contents by their names. */
  readonly pictures: ReadonlyMap<string, string>;
}

/**
 * Makes the page.
 *
 * @param suites What each suite measures, in the order in which they are told of.
 * @param folder Where the pictures will be, from the page.
 */
export function report(
  measurement: Measurement,
  suites: readonly { readonly name: string; readonly what: string }[],
  folder: string,
): Report {
  const pictures = new Map<string, string>();
  const sections = suites.flatMap(({ name, what }) => {
    const figures = measurement.figures.filter(({ suite }) => suite === name);
    if (figures.length === 0) return [];
    const parts = tables(figures).map((table, i) => {
      const file = `${name}${i > 0 ? `-${i + 1}` : ""}.svg`;
      pictures.set(file, plot(`${name}: ${table.unit}`, table));
      const picture = `![${name}, ${table.unit}: the figures of the table](${folder}/${file})`;
      return `${picture}\n\n${markdown(table, measurement)}`;
    });
    return [`## ${name}\n\n${sentence(what)}\n\n${parts.join("\n\n")}`];
  });
  const parts = [head(measurement), ...sections, absent(measurement), published()];
  return { page: parts.filter((part) => part !== "").join("\n\n") + "\n", pictures };
}

const sentence = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

/** What it was measured on, and how far to trust it. */
function head(measurement: Measurement): string {
  const { date, revision, machine, load, rounds, figures } = measurement;
  const { processor, processors, memoryMiB, kernel, programs } = machine;
  const noises = figures.map(({ samples }) => {
    const { median, quarter, threeQuarters } = spread(samples);
    return (threeQuarters - quarter) / median * 100;
  });
  const noise = noises.length > 0 ? spread(noises) : undefined;
  const versions = Object.entries(programs).map((each) => each.join(" ")).join(", ");
  const [before, after] = [load.before, load.after].map((each) => Number(each.toFixed(1)));
  const busy = load.before > IDLE
    ? [
      `**The machine was busy**: ${before} processes wanted its ${processors} processors when it began. Take no absolute figure for` +
      "\nwhat the code can do, and ratios with care: programs that never sleep suffer most.",
      "",
    ]
    : [];
  return [
    "# Speed",
    "",
    "This page is made by `deno task speed` from [a measurement](speed/measurement.json); `deno task bench` makes one. On your",
    "machine `deno task bench --compare docs/speed/measurement.json` says what differs by more than noise.",
    "",
    ...busy,
    `- Measured at ${date}${revision && `, revision ${revision}`}.`,
    `- On ${processors} processors of ${processor}, ${memoryMiB} MiB, Linux ${kernel}; ${versions}.`,
    `- Load ${before} before and ${after} after. At most ${rounds} rounds; in each, all contenders take their turn.`,
    ...noise
      ? [
        `- Noise: between the quarters of a figure's samples lie ${
          Math.round(noise.median)
        } % of its median; in a quarter of all figures more than ${
          Math.round(noise.threeQuarters)
        } %.`,
      ]
      : [],
    "- The device has a processor of its own, the driver another. Of each figure there is the median, in parentheses the quarters",
    "  of its samples, and, where it is held against another project's, the median of its multiples in the same rounds.",
    "  _inline_ is a driver in the application's thread, _process_ one in its own process.",
  ].join("\n");
}

function markdown(table: Table, { figures }: Measurement): string {
  const { axis, unit, contenders, rows, yardstick } = table;
  const lines = [
    [unit, axis, ...contenders],
    ["---", "---:", ...contenders.map(() => "---:")],
    ...rows.map(({ subject, at, cells }) => [
      subject,
      `${at}`,
      ...cells.map((figure) => cell(figure, figures)),
    ]),
  ];
  const text = lines.map((line) => `| ${line.join(" | ")} |`).join("\n");
  return yardstick ? `${text}\n\nMultiples are of ${yardstick}.` : text;
}

function absent({ missing }: Measurement): string {
  if (missing.length === 0) return "";
  const lines = missing.map(({ suite, why }) => `- ${suite}: ${why.replaceAll("|", "\\|")}`);
  return `## What was not measured\n\n${lines.join("\n")}`;
}

function published(): string {
  const lines = PUBLISHED.map(({ what, figure, date, source }) =>
    `| ${what} | ${figure} | ${date} | ${source} |`
  );
  return [
    "## What others have published",
    "",
    "On other machines, so that no ratio can be made of it.",
    "",
    "| what | figure | when | where |",
    "| --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}
