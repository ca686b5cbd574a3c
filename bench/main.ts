/**
 * Measures, on this machine: our drivers beside those of others on the same devices.
 *
 *     deno task bench [suite[:subject]...] [--rounds <n>] [--json <file>] [--compare <file>]
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { tell } from "./compare.ts";
import { NoMeasurement, readMeasurement, writeMeasurement } from "./measurement.ts";
import { run } from "./run.ts";
import type { Suite } from "./suite.ts";
import { SUITES } from "./suites.ts";

/** Fewer would say little of the noise. */
const ROUNDS = 9;

/** What was asked for cannot be done. */
class Misuse extends Error {}

const HELP =
  `Usage: deno task bench [suite[:subject]...] [--rounds <n>] [--json <file>] [--compare <file>]

Measures our drivers beside those of others on the same devices: medians of ${ROUNDS} rounds, in each of which all
contenders take their turn; in parentheses the quarters of the samples, and how many times the yardstick of the same round.

${SUITES.map(({ name, what }) => `  ${name.padEnd(8)} ${what}`).join("\n")}

  ring:split        only subjects of ring with "split" in their names
  --rounds <n>      ${ROUNDS} if left out
  --json <file>     writes the measurement, too
  --compare <file>  says what has changed since that measurement by more than noise
`;

/** Suites, and what the subjects that are wanted of each have in their names. */
function chosen(names: readonly string[]): ReadonlyMap<Suite, string> {
  if (names.length === 0) return new Map(SUITES.map((suite) => [suite, ""]));
  return new Map(names.map((text) => {
    const [, name, part] = /^([^:]*):?(.*)$/s.exec(text)!;
    const suite = SUITES.find((each) => each.name === name);
    if (suite) return [suite, part!];
    const known = SUITES.map(({ name }) => name).join(", ");
    throw new Misuse(`There is no suite "${name}"; there are ${known}`);
  }));
}

function roundsOf(text: string | undefined): number {
  const rounds = text === undefined ? ROUNDS : Number(text);
  if (Number.isInteger(rounds) && rounds >= 1 && rounds <= 1000) return rounds;
  throw new Misuse(`--rounds is "${text}", wanted an integer from 1 to 1000`);
}

/** A file that cannot be written is found before minutes were spent, and without making it. */
function checkFile(path: string): void {
  const folder = path.replace(/[^/]*$/, "") || ".";
  try {
    if (Deno.statSync(folder).isDirectory) return;
  } catch {
    // As if it were none.
  }
  throw new Misuse(`Cannot write ${path}: there is no folder ${folder}`);
}

async function main(args: readonly string[]): Promise<void> {
  const options = parseArgs([...args], {
    string: ["rounds", "json", "compare", "_"],
    boolean: ["help"],
    unknown: (arg, key) => {
      if (key !== undefined) throw new Misuse(`There is no option ${arg}; --help names them`);
    },
  });
  if (options.help) return console.log(HELP);
  const suites = chosen(options._.map(String));
  const rounds = roundsOf(options.rounds);
  if (options.json !== undefined) checkFile(options.json);
  const before = options.compare === undefined ? undefined : await readMeasurement(options.compare);
  const measurement = await run(suites, rounds);
  if (options.json !== undefined) await writeMeasurement(options.json, measurement);
  if (before !== undefined) console.log(tell(before, measurement));
}

try {
  await main(Deno.args);
} catch (error) {
  if (!(error instanceof Misuse || error instanceof NoMeasurement)) throw error;
  console.error(error.message);
  Deno.exitCode = 2;
}
