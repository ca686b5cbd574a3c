/**
 * Prints how many tests name each rule, so that what a change to the tests lost is seen: rows of features (`#blk:DISCARD`),
 * lies of devices (D-41), misdeeds of plugins (P-13), and whatever else tests number.
 *
 *     deno run -A tools/count_rules.ts [--json]
 *     deno run -A tools/count_rules.ts --since <commit>
 *
 * With `--since` it names the rules that had tests then and have fewer, or none, now; it fails where one has none.
 *
 * @module
 */

import { parseArgs } from "@std/cli";

const ROOT = new URL("../", import.meta.url);
/** Rows of features, and numbers of a letter and two digits. */
const RULE = /#[a-z]+:[\w.-]*\w|\b[A-Z]-\d{2,3}\b/g;

/** How often each rule stands in the texts of tests. */
export function countRules(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [rule] of text.matchAll(RULE)) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  }
  return counts;
}

/** What git prints. */
function git(...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command("git", { args, cwd: ROOT }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

const isTest = (path: string) => path.endsWith("_test.ts") || path.startsWith("tests/");

function now(): Map<string, number> {
  const paths = git("ls-files", "--cached", "--others", "--exclude-standard").split("\n");
  return countRules(
    paths.filter(isTest).filter((path) => {
      try {
        return Deno.statSync(new URL(path, ROOT)).isFile;
      } catch {
        return false; // deleted, and not committed yet
      }
    }).map((path) => Deno.readTextFileSync(new URL(path, ROOT))),
  );
}

function then(commit: string): Map<string, number> {
  const paths = git("ls-tree", "-r", "--name-only", commit).split("\n").filter(isTest);
  return countRules(paths.map((path) => git("show", `${commit}:${path}`)));
}

/** By what a rule is about: the device of a row, or the letter of a number. */
function kindOf(rule: string): string {
  return /^#[a-z]+/.exec(rule)?.[0] ?? rule[0]!;
}

if (import.meta.main) {
  const { since, json } = parseArgs(Deno.args, { string: ["since"], boolean: ["json"] });
  const counts = now();
  if (json) console.log(JSON.stringify(Object.fromEntries([...counts].sort()), undefined, 2));
  const before = since === undefined ? undefined : then(since);
  const kinds = new Set([...counts.keys(), ...before?.keys() ?? []].map(kindOf));
  const sums = (counts: Map<string, number>, kind: string) => {
    const own = [...counts].filter(([rule]) => kindOf(rule) === kind);
    return [own.length, own.reduce((sum, [, count]) => sum + count, 0)] as const;
  };
  if (!json) {
    console.log(
      before ? "rules, then and now; how often named, then and now" : "rules; how often named",
    );
    for (const kind of [...kinds].sort()) {
      const [rules, named] = sums(counts, kind);
      const [rulesThen, namedThen] = before ? sums(before, kind) : [];
      console.log(
        kind.padEnd(12),
        before ? `${rulesThen} ${rules}` : rules,
        before ? `${namedThen} ${named}` : named,
      );
    }
  }
  let lost = 0;
  for (const [rule, count] of before ?? []) {
    const left = counts.get(rule) ?? 0;
    if (left < count) console.log(`${rule}: ${count} then, ${left} now`);
    if (left === 0) lost++;
  }
  Deno.exit(lost > 0 ? 1 : 0);
}
