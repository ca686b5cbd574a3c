/**
 * Rounds of samples.
 *
 * @module
 */

import type { Figure } from "./figure.ts";
import { Racer } from "./racer.ts";
import type { Subject, Suite } from "./suite.ts";

/** What a run says while it goes on. */
export interface Told {
  /** What it is about to do. */
  progress(text: string, part?: string): void;
  /** What is not measured, and why. */
  missing(suite: string, why: string): void;
  /** What was measured of a subject. */
  figures(figures: readonly Figure[]): void;
}

/**
 * Measures a suite.
 *
 * @param part What the names of subjects have to have in them.
 */
export async function measure(
  suite: Suite,
  part: string,
  folder: string,
  rounds: number,
  told: Told,
): Promise<void> {
  const missing = (why: string) => told.missing(suite.name, why);
  for await (const subject of suite.subjects(folder, missing)) {
    if (!subject.subject.includes(part)) continue;
    const least = Math.min(rounds, subject.rounds ?? rounds);
    told.figures(await race(suite.name, subject, least, told));
  }
}

/** All contenders of a subject, one sample of each in each round; the first round is for them to get warm. */
async function race(
  suite: string,
  { subject, axis, points, contenders, unit, better, yardstick }: Subject,
  rounds: number,
  told: Told,
): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  told.progress(`${suite}: ${subject}`);
  const started = await Promise.all(contenders.map(async (contender) => {
    try {
      return stack.use(await Racer.start(contender));
    } catch (error) {
      told.missing(suite, `${subject}, ${contender.name}: ${(error as Error).message}`);
    }
  }));
  let racers = started.filter((start) => start !== undefined);
  const samples = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++) {
    told.progress(`${suite}: ${subject}`, `, round ${round} of ${rounds}`);
    for (const at of points) {
      for (const racer of racers) {
        try {
          const sample = await racer.sample(at);
          const key = `${at} ${racer.name}`;
          if (round > 0) samples.set(key, [...samples.get(key) ?? [], sample]);
        } catch (error) {
          told.missing(suite, `${subject}, ${racer.name}: ${(error as Error).message}`);
          racers = racers.filter((other) => other !== racer);
        }
      }
    }
  }
  const shared = { suite, subject, axis, unit, better, ...(yardstick && { yardstick }) };
  return points.flatMap((at) =>
    racers.map(({ name }) => ({
      ...shared,
      at,
      contender: name,
      samples: samples.get(`${at} ${name}`)!,
    }))
  );
}
