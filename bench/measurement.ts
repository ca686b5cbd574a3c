/**
 * A run of the benchmark as a file.
 *
 * @module
 */

import type { Figure } from "./figure.ts";

/** What a run leaves. */
export interface Measurement {
  /** The shape of this; it grows when a reader has to know. */
  readonly schema: typeof SCHEMA;
  /** When it began, in ISO 8601. */
  readonly date: string;
  /** The commit of the tree, with a `+` where it was changed; empty outside of git. */
  readonly revision: string;
  readonly machine: Machine;
  /** The average number of processes that wanted to run in the minute before, and in the last one. */
  readonly load: { readonly before: number; readonly after: number };
  /** Rounds at most; a figure has as many samples as it had rounds. */
  readonly rounds: number;
  readonly figures: readonly Figure[];
  readonly missing: readonly Missing[];
}

/** What it was measured on. */
export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  /** Versions of programs that took part, by their names. */
  readonly programs: Readonly<Record<string, string>>;
}

/** What was not measured. */
export interface Missing {
  readonly suite: string;
  readonly why: string;
}

/** A load up to which the machine had nothing else to do. */
export const IDLE = 1;

/** The shape of measurements that is written. */
export const SCHEMA = 2;

/** A file that is no measurement. */
export class NoMeasurement extends Error {
  /** Tells the error apart. */
  override readonly name = "NoMeasurement";

  constructor(path: string, why: string) {
    super(`Cannot take ${path} for a measurement: ${why}`);
  }
}

/**
 * Reads a measurement.
 *
 * @throws {NoMeasurement} If there is none.
 */
export async function readMeasurement(path: string): Promise<Measurement> {
  const wrong = (why: string) => new NoMeasurement(path, why);
  let text;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw wrong(error instanceof Deno.errors.NotFound ? "there is no such file" : `${error}`);
  }
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong("it is no JSON; deno task bench --json <file> writes one");
  }
  if (typeof value !== "object" || value === null || !("schema" in value)) {
    throw wrong('it has no "schema"; deno task bench --json <file> writes one');
  }
  if (value.schema !== SCHEMA) {
    throw wrong(`its "schema" is ${JSON.stringify(value.schema)}, wanted ${SCHEMA}`);
  }
  const lacks = lacking(value);
  if (lacks !== undefined) throw wrong(`${lacks} is missing or of the wrong kind`);
  return value;
}

/** Writes one. */
export async function writeMeasurement(path: string, measurement: Measurement): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(measurement, rounded) + "\n");
}

/** Six digits of a sample are more than any clock has. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(6)) : value;
}

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === "string";
const number: Check = (value) => typeof value === "number" && Number.isFinite(value);
const samples: Check = (value) =>
  Array.isArray(value) && value.length > 0 && value.every((sample) => number(sample) && sample > 0);

const MEASUREMENT = { date: text, revision: text, rounds: number };
const MACHINE = { processor: text, processors: number, memoryMiB: number, kernel: text };
const LOAD = { before: number, after: number };
const MISSING = { suite: text, why: text };
const FIGURE = {
  suite: text,
  subject: text,
  axis: text,
  at: number,
  contender: text,
  unit: text,
  better: (value: unknown) => value === "less" || value === "more",
  yardstick: (value: unknown) => value === undefined || text(value),
  samples,
};

/** What a parsed file lacks, by its path; undefined if nothing. */
function lacking(value: Record<string, unknown>): string | undefined {
  return lack("", value, MEASUREMENT) ?? lack("machine.", value.machine, MACHINE) ??
    lack("load.", value.load, LOAD) ??
    strings("machine.programs", (value.machine as { programs: unknown }).programs) ??
    each("figures", value.figures, FIGURE) ?? each("missing", value.missing, MISSING);
}

function lack(
  where: string,
  value: unknown,
  checks: Readonly<Record<string, Check>>,
): string | undefined {
  if (typeof value !== "object" || value === null) return where.slice(0, -1);
  const wrong = Object.entries(checks)
    .find(([name, check]) => !check((value as Record<string, unknown>)[name]));
  return wrong && `${where}${wrong[0]}`;
}

function each(
  name: string,
  values: unknown,
  checks: Readonly<Record<string, Check>>,
): string | undefined {
  if (!Array.isArray(values)) return name;
  for (const [i, value] of values.entries()) {
    const lacks = lack(`${name}[${i}].`, value, checks);
    if (lacks !== undefined) return lacks;
  }
}

function strings(name: string, value: unknown): string | undefined {
  const isRecord = typeof value === "object" && value !== null;
  return isRecord && Object.values(value).every(text) ? undefined : name;
}
