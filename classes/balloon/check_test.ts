import { assert, assertEquals } from "@std/assert";
import { News } from "../../core/class/mod.ts";
import type { BalloonState } from "./client.ts";
import { type Balloon, checkBalloon } from "./check.ts";

/** A balloon that goes through some states. */
function balloon(states: readonly BalloonState[], floor = 25): Balloon {
  let state = states[0]!;
  return {
    pages: 100,
    pageBytes: 4096,
    floor,
    statistics: { freeMemory: 1 },
    get state() {
      return state;
    },
    changes() {
      const news = new News<BalloonState>("Balloon.changes");
      const feed = news.feed();
      for (const next of states) news.tell(state = next);
      news.end();
      return feed;
    },
  };
}

const state = (target: number, actual: number) => ({ requested: target, target, actual });

async function failures(client: Balloon): Promise<string[]> {
  const { findings } = await checkBalloon(client, { write: false });
  return findings.filter(({ passed }) => !passed).map(({ name }) => name);
}

Deno.test("checkBalloon passes a balloon that gets as large as it is to be", async () => {
  assertEquals(await failures(balloon([state(0, 0)])), []);
  assertEquals(await failures(balloon([state(75, 0), state(75, 50), state(75, 75)])), []);
  const { figures, summary } = await checkBalloon(balloon([state(7, 7)]), { write: false });
  assertEquals([figures.actual, figures.figures], [7, 1]);
  assert(summary.includes("7 of 100 are in it"), summary);
});

Deno.test("checkBalloon finds a balloon that stays behind, or goes too far", async () => {
  assertEquals(await failures(balloon([state(75, 0), state(75, 50)])), ["size"]);
  assertEquals(await failures(balloon([state(80, 80)])), ["floor"]);
  assertEquals(await failures(balloon([state(0, 0)], 100)), ["arena"]);
});
