import {
  type CheckOptions,
  type CheckResult,
  type Finding,
  round,
  within,
} from "../../core/class/mod.ts";
import type { BalloonClient, BalloonState } from "./client.ts";

/** What a check needs of a balloon. */
export type Balloon = Pick<
  BalloonClient,
  "pages" | "pageBytes" | "floor" | "statistics" | "state" | "changes"
>;

/** How long the balloon may take to come nearer to what it is to be, in milliseconds. */
const DEADLINE = 10_000;

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

/** Waits until the balloon is as large as it is to be, but not for ever. */
async function settle(client: Balloon): Promise<BalloonState> {
  using changes = client.changes();
  let end = performance.now() + DEADLINE;
  for (let nearest = Infinity; nearest > 0;) {
    const next = await within(end - performance.now(), changes.next());
    if (!next || next.done) break;
    const { actual, target } = next.value;
    const distance = Math.abs(target - actual);
    if (distance >= nearest) continue;
    nearest = distance;
    end = performance.now() + DEADLINE;
  }
  return client.state;
}
