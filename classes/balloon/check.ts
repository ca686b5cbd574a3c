import { type CheckOptions, type CheckResult, type Finding, round } from "../../core/class/mod.ts";
import type { BalloonClient, BalloonState } from "./client.ts";

/** What a check needs of a balloon. */
export type Balloon = Pick<
  BalloonClient,
  "pages" | "pageBytes" | "floor" | "statistics" | "state" | "changes"
>;

/** How long the balloon may come no nearer to the size that it is to have, in milliseconds. */
const STILL_MS = 10_000;

/**
 * Checks that a balloon becomes as large as its hypervisor wants, as far as it may. Pages are those of the driver's own
 * arena, so this harms no other program, whatever the machine.
 */
export async function checkBalloon(client: Balloon, { step }: CheckOptions): Promise<CheckResult> {
  step?.("giving the hypervisor what it wants");
  const { pages, pageBytes, floor } = client;
  const start = performance.now();
  const { requested, target, actual } = await settle(client);
  const milliseconds = round(performance.now() - start);
  const figures = Object.keys(client.statistics).length;
  const findings: Finding[] = [
    { name: "arena", passed: pages > floor, detail: `${pages} pages, ${floor} of which stay` },
    {
      name: "size",
      passed: actual === target,
      detail: `${actual} pages are in it, ${target} are to be`,
    },
    {
      name: "floor",
      passed: actual <= pages - floor,
      detail: `${pages - actual} pages of the arena are left, ${floor} are to be`,
    },
  ];
  return {
    findings,
    figures: { pages, pageBytes, floor, requested, target, actual, milliseconds, figures },
    summary: `hypervisor wants ${requested} pages, ${actual} of ${pages} are in it after ` +
      `${milliseconds} ms, ${figures > 0 ? `${figures} figures given` : "no statistics"}`,
  };
}

/** Waits until the balloon is as large as it is to be, as long as it comes nearer to that. */
async function settle(client: Balloon): Promise<BalloonState> {
  const still = new AbortController();
  const wait = () => setTimeout(() => still.abort(), STILL_MS);
  let timer = wait();
  let nearest = Infinity;
  try {
    for await (const { actual, target } of client.changes(still.signal)) {
      const away = Math.abs(target - actual);
      if (away === 0) break;
      if (away >= nearest) continue;
      nearest = away;
      clearTimeout(timer);
      timer = wait();
    }
  } finally {
    clearTimeout(timer);
  }
  return client.state;
}
