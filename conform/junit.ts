import type { Result } from "./run.ts";

/** A device, and what came of its checks. */
export interface Checked {
  /** What it is called. */
  readonly name: string;
  /** What its checks found. */
  readonly results: readonly Result[];
}

/**
 * Results as JUnit has them: a suite for each device. A check that finds a violation is a failure, one that leaves the device
 * wedged an error, and one that does not apply or cannot tell was skipped.
 */
export function junit(devices: readonly Checked[]): string {
  const suites = devices.map(({ name, results }) => {
    const count = (...verdicts: readonly string[]) =>
      results.filter(({ verdict }) => verdicts.includes(verdict)).length;
    const figures = attributes({
      name,
      tests: results.length,
      failures: count("violates"),
      errors: count("wedged"),
      skipped: count("not applicable", "cannot tell"),
    });
    return [`  <testsuite${figures}>`, ...results.map(testCase), "  </testsuite>"].join("\n");
  });
  return [`<?xml version="1.0" encoding="UTF-8"?>`, "<testsuites>", ...suites, "</testsuites>", ""]
    .join("\n");
}

const ELEMENTS = {
  "violates": "failure",
  "wedged": "error",
  "not applicable": "skipped",
  "cannot tell": "skipped",
} as const;

function testCase({ check, verdict, why = "", milliseconds }: Result): string {
  const head = attributes({
    classname: check.name.split(".")[0]!,
    name: `${check.name} (${check.section}): it ${check.does}`,
    time: (milliseconds / 1000).toFixed(3),
  });
  if (verdict === "conforms") return `    <testcase${head}/>`;
  const message = attributes({ message: `${verdict}: ${why}` });
  return `    <testcase${head}><${ELEMENTS[verdict]}${message}/></testcase>`;
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values).map(([name, value]) => ` ${name}="${escaped(String(value))}"`)
    .join("");
}

/** Text of an attribute; what XML 1.0 cannot hold is left out. */
function escaped(text: string): string {
  // deno-lint-ignore no-control-regex -- these are meant
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "")
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
