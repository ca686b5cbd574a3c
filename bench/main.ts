/**
 * Measures, on this machine: our drivers beside those of others on the same devices.
 *
 *     deno task bench [suite[:subject]...] [--rounds <n>] [--json <file>] [--compare <file>]
 *
 * @module
 */

import { parseArgs } from "@std/cli";
import { tell } from "./compare.ts";
import type { Figure } from "./figure.ts";
import { revision, thisMachine } from "./machine.ts";
import { measure } from "./measure.ts";
import {
  type Measurement,
  type Missing,
  NoMeasurement,
  readMeasurement,
  SCHEMA,
  writeMeasurement,
} from "./measurement.ts";
import { Progress } from "./progress.ts";
import type { Suite } from "./suite.ts";
import { print } from "./table.ts";
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

/** Runs suites. */
async function run(suites: ReadonlyMap<Suite, string>, rounds: number): Promise<Measurement> {
  const date = new Date().toISOString();
  const [before] = Deno.loadavg();
  const machine = await thisMachine();
  const figures: Figure[] = [];
  const missing: Missing[] = [];
  using progress = new Progress();
  const folder = await Deno.makeTempDir({ prefix: "virtio-bench-" });
  const end = () => Deno.removeSync(folder, { recursive: true });
  // Programs end with this one; what is in the file system has to be taken away.
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, code] of Object.entries(signals)) {
    Deno.addSignalListener(signal as Deno.Signal, () => {
      end();
      Deno.exit(code);
    });
  }
  try {
    for (const [suite, part] of suites) {
      await measure(suite, part, folder, rounds, {
        progress: (text, part) => progress.tell(text, part),
        missing: (suite, why) => {
          missing.push({ suite, why });
          progress.say(`${suite}: not measured: ${why}`);
        },
        figures: (more) => figures.push(...more),
      });
      progress.say(print(figures.filter((figure) => figure.suite === suite.name)) + "\n");
    }
  } finally {
    end();
  }
  const [after] = Deno.loadavg();
  return {
    schema: SCHEMA,
    date,
    revision: await revision(),
    machine,
    load: { before: before!, after: after! },
    rounds,
    figures,
    missing,
  };
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
  // What cannot be compared with is found before minutes were spent.
  const before = options.compare === undefined ? undefined : await readMeasurement(options.compare);
  const measurement = await run(suites, rounds);
  if (options.json !== undefined) await writeMeasurement(options.json, measurement);
  if (before !== undefined) console.log(tell(before, measurement));
}

try {
  await main(Deno.args);
  Deno.exit();
} catch (error) {
  if (!(error instanceof Misuse || error instanceof NoMeasurement)) throw error;
  console.error(error.message);
  Deno.exit(2);
}
