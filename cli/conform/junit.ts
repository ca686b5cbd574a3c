// Results for programs that collect those of tests: the XML that JUnit made common.

/** What came of one test. */
export interface Case {
  readonly name: string;
  readonly milliseconds: number;
  /** What went wrong, if it failed. */
  readonly failure?: string;
  /** Why it was not run, if it was not. */
  readonly skipped?: string;
}

/** Tests that belong together, as a document. */
export function junit(suite: string, cases: readonly Case[]): string {
  const count = (which: "failure" | "skipped") =>
    cases.filter((each) => each[which] !== undefined).length;
  const time = cases.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const attributes =
    `name=${quoted(suite)} tests="${cases.length}" failures="${count("failure")}"` +
    ` skipped="${count("skipped")}" time="${time / 1000}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites><testsuite ${attributes}>`,
    ...cases.map((each) => caseText(suite, each)),
    "</testsuite></testsuites>",
    "",
  ].join("\n");
}

function caseText(suite: string, { name, milliseconds, failure, skipped }: Case): string {
  const attributes = `classname=${quoted(suite)} name=${quoted(name)} time="${
    milliseconds / 1000
  }"`;
  if (failure !== undefined) {
    const message = quoted(failure.split("\n", 1)[0]!);
    return `<testcase ${attributes}><failure message=${message}>${
      xml(failure)
    }</failure></testcase>`;
  }
  if (skipped !== undefined) {
    return `<testcase ${attributes}><skipped message=${quoted(skipped)}/></testcase>`;
  }
  return `<testcase ${attributes}/>`;
}

function quoted(text: string): string {
  return `"${xml(text).replaceAll('"', "&quot;").replaceAll("\n", "&#10;")}"`;
}

/** Text for XML 1.0, which has no way to write most control characters (2.2). */
function xml(text: string): string {
  return text.toWellFormed()
    .replace(/[^\P{Cc}\n\t]|[\ufffe\uffff]/gu, "\ufffd")
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
