/**
 * A run of the benchmark.
 *
 * @module
 */

import type { Figure } from "./figure.ts";
import { revision, thisMachine } from "./machine.ts";
import { measure } from "./measure.ts";
import { type Measurement, type Missing, SCHEMA } from "./measurement.ts";
import { Progress } from "./progress.ts";
import type { Suite } from "./suite.ts";
import { print } from "./table.ts";

/**
 * Measures, says what comes of it, and leaves nothing behind, whoever ends it.
 *
 * @param suites With what the subjects that are wanted have in their names.
 */
export async function run(
  suites: ReadonlyMap<Suite, string>,
  rounds: number,
): Promise<Measurement> {
  const date = new Date().toISOString();
  const [before] = Deno.loadavg();
  const machine = await thisMachine();
  const figures: Figure[] = [];
  const missing: Missing[] = [];
  using progress = new Progress();
  using folder = new Folder();
  for (const [suite, part] of suites) {
    await measure(suite, part, folder.path, rounds, {
      progress: (text, part) => progress.tell(text, part),
      missing: (suite, why) => {
        missing.push({ suite, why });
        progress.say(`${suite}: not measured: ${why}`);
      },
      figures: (more) => figures.push(...more),
    });
    progress.say(print(figures.filter((figure) => figure.suite === suite.name)) + "\n");
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

/** What ends a run, and the status that it ends with. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** A folder that goes with the run, also if a signal ends that; programs end with this one by themselves. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "virtio-bench-" });
  readonly #handlers = Object.entries(SIGNALS).map(([signal, code]) => {
    const handler = () => {
      Deno.removeSync(this.path, { recursive: true });
      Deno.exit(code);
    };
    Deno.addSignalListener(signal as Deno.Signal, handler);
    return [signal as Deno.Signal, handler] as const;
  });

  [Symbol.dispose](): void {
    for (const [signal, handler] of this.#handlers) Deno.removeSignalListener(signal, handler);
    Deno.removeSync(this.path, { recursive: true });
  }
}
