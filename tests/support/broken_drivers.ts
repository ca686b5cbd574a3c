/**
 * Drivers that are wrong, a way for each row that drivers are tested for.
 *
 * @module
 */

import type { Isolation } from "../../core/kernel/driver_host.ts";
import type { LieId } from "../../simulation/hostile.ts";
import type { RowName } from "../../testing/mod.ts";
import { entropyDriver, PLAN, WORK } from "./plugin.ts";

/** A driver that is wrong in one way, and what is said of it. */
export interface Broken {
  readonly text: string;
  /** Where it shows; everywhere if left out. */
  readonly isolation?: Isolation;
  readonly lies?: readonly LieId[];
  readonly found: RegExp;
}

const TAKE = "lane.take((slot) => {";

/** One for each row. */
export const BROKEN: Readonly<Record<RowName, Broken>> = {
  start: {
    text: entropyDriver({ start: 'throw new Error("not today");' }),
    found: /the driver failed: Error: not today\n +at .*mod\.ts/,
  },
  plan: {
    text: entropyDriver({
      plan:
        `if (offer.config.length < 1 && offer.features === 0n) offer.queues[0].toFixed(); return ${PLAN};`,
    }),
    found: /plan\(\) throws TypeError/,
  },
  types: {
    text: entropyDriver({
      rung: WORK.replace("complete(slot, 0, written)", 'complete(slot, 0, "" + written)'),
    }),
    found: /the length "\d+"/,
  },
  restart: {
    text: entropyDriver({
      load: "let starts = 0;",
      start: 'if (starts++ > 0) throw new Error("once is enough");',
    }),
    isolation: "inline",
    found: /once is enough/,
  },
  "queue reset": {
    text: entropyDriver().replace("return { rung()", "return { queueReset() {}, rung()"),
    found: /of lane requests did not end, and the device has answered what it was given/,
  },
  hang: {
    text: entropyDriver({
      rung:
        `${WORK} requests.publish(); while (requests.inFlight > 0) requests.drain((slot, written) => lane.complete(slot, 0, written));`,
    }),
    isolation: "process",
    found: /no sign of life for .* s: it hangs, it works without end/,
  },
  "back-pressure": {
    text: entropyDriver({
      rung: WORK.replace("return requests.commit();", "requests.commit(); return true;"),
    }),
    found: /of lane requests did not end, and the device has answered what it was given/,
  },
  leak: {
    text: entropyDriver({
      load: "const kept = [];",
      rung: `${WORK} kept.push(new Uint8Array(2 ** 21).fill(1));`,
    }),
    isolation: "process",
    found: /its process has grown by \d+ MiB/,
  },
  lies: {
    text: entropyDriver({
      rung: `requests.drain((slot, written) => {
        if (written === 0) throw new Error("nothing came");
        lane.complete(slot, 0, written);
      });
      ${WORK.slice(WORK.indexOf(TAKE))}`,
    }),
    lies: ["D-45", "D-46"],
    found: /the driver failed: Error: nothing came/,
  },
};
