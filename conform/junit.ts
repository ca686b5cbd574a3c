// Results for programs that collect those of tests: the XML that JUnit made common.

import type { Result } from "./run.ts";

/** What came of one test. */
export interface JunitCase {
  /** What it belongs to. */
  readonly group: string;
  /** What it tests. */
  readonly name: string;
  /** How long it took. */
  readonly milliseconds: number;
  /** How it ended, if not well, and why: the first line in short, all lines at length. */
  readonly end?: { readonly as: "failure" | "error" | "skipped"; readonly why: string };
}

/** Tests that belong together. */
export interface JunitSuite {
  /** What was tested. */
  readonly name: string;
  /** What came of each test. */
  readonly cases: readonly JunitCase[];
}

/** A document of results. */
export function junit(suites: readonly JunitSuite[]): string {
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    "<testsuites>",
    ...suites.flatMap(suiteLines),
    "</testsuites>",
    "",
  ].join("\n");
}

const ENDS = {
  "violates": "failure",
  "wedged": "error",
  "not applicable": "skipped",
  "cannot tell": "skipped",
} as const;

/**
 * What came of the checks of a device. One that finds a violation is a failure, one that leaves the device wedged an error,
 * and one that does not apply or cannot tell was skipped.
 *
 * @param name What the device is called.
 */
export function junitSuite(name: string, results: readonly Result[]): JunitSuite {
  const cases = results.map(({ check, verdict, why = "", milliseconds }): JunitCase => ({
    group: check.name.split(".")[0]!,
    name: `${check.name} (${check.section}): it ${check.does}`,
    milliseconds,
    ...(verdict !== "conforms" && { end: { as: ENDS[verdict], why: `${verdict}: ${why}` } }),
  }));
  return { name, cases };
}

function suiteLines({ name, cases }: JunitSuite): string[] {
  const count = (as: string) => cases.filter(({ end }) => end?.as === as).length;
  const milliseconds = cases.reduce((sum, each) => sum + each.milliseconds, 0);
  const figures = attributes({
    name,
    tests: cases.length,
    failures: count("failure"),
    errors: count("error"),
    skipped: count("skipped"),
    time: seconds(milliseconds),
  });
  return [`  <testsuite${figures}>`, ...cases.map(caseLine), "  </testsuite>"];
}

function caseLine({ group, name, milliseconds, end }: JunitCase): string {
  const head = attributes({ classname: group, name, time: seconds(milliseconds) });
  if (!end) return `    <testcase${head}/>`;
  const [short = "", ...more] = end.why.split("\n");
  const inside = attributes({ message: short });
  const element = more.length > 0
    ? `<${end.as}${inside}>${escaped(end.why)}</${end.as}>`
    : `<${end.as}${inside}/>`;
  return `    <testcase${head}>${element}</testcase>`;
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values).map(([name, value]) => ` ${name}="${escaped(String(value))}"`)
    .join("");
}

/** Text for XML 1.0, which has no way to write most control characters (2.2): they are left out. */
function escaped(text: string): string {
  return text.toWellFormed().replace(/[^\P{Cc}\n\t]|[\ufffe\uffff]/gu, "")
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
