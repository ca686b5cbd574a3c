// Resets of the device (virtio 1.4, 2.4), at each step.

import { DeviceStatus } from "../../core/virtio/status.ts";
import { type Check, must } from "../check.ts";
import { COMMON } from "../common.ts";
import { exercise, observe } from "../observe.ts";
import type { Rig } from "../rig.ts";
import type { RawRing } from "../ring.ts";

const { ACKNOWLEDGE, DRIVER } = DeviceStatus;

/** One request, made available and notified. */
function launch(rig: Rig): RawRing {
  const request = exercise(rig);
  const ring = rig.startQueue(request.queue, { features: request.features });
  ring.chain(0, request.make(rig));
  rig.offer(ring);
  return ring;
}

/** How far a driver has come when it resets the device. */
const STEPS: readonly (readonly [name: string, after: string, act: (rig: Rig) => unknown])[] = [
  ["acknowledge", "ACKNOWLEDGE", (rig) => rig.status = ACKNOWLEDGE],
  ["driver", "DRIVER", (rig) => rig.status = ACKNOWLEDGE | DRIVER],
  ["features", "features were written", (rig) => {
    rig.status = ACKNOWLEDGE | DRIVER;
    rig.accept(rig.needed);
  }],
  ["features_ok", "FEATURES_OK", (rig) => rig.negotiate()],
  ["queues", "a queue was enabled", (rig) => {
    rig.negotiate();
    rig.enable(0);
  }],
  ["driver_ok", "DRIVER_OK", (rig) => rig.start({ queues: [0] })],
  ["request", "a request was done", async (rig) => await rig.used(launch(rig), 1)],
  ["in_flight", "a request was made available", launch],
];

export const RESET: readonly Check[] = [
  ...STEPS.map(([name, after, act]): Check => ({
    name: `reset.after_${name}`,
    section: "2.4.1",
    does: `comes to status 0 by a reset after ${after}`,
    async run(rig) {
      await act(rig);
      await rig.reset();
      must(rig.status === 0, () => `its status reads as ${rig.status} right after it read as 0`);
    },
  })),
  {
    name: "reset.twice",
    section: "2.4.1",
    does: "can be reset while it is reset",
    async run(rig) {
      await rig.reset();
      await rig.reset();
      rig.negotiate();
    },
  },
  {
    name: "reset.queues",
    section: "4.1.4.3.1",
    does: "has no queue enabled after a reset, and their sizes as at first",
    async run(rig) {
      const largest = rig.largest(0);
      rig.start({ queues: [0], size: Math.max(1, largest >> 1) });
      await rig.reset();
      const now = rig.largest(0);
      must(rig.common.read16(COMMON.queueEnable) === 0, "queue 0 is enabled after a reset");
      must(now === largest, `queue 0 has size ${now} after a reset, and had ${largest} at first`);
    },
  },
  {
    name: "reset.silence",
    section: "2.4.1",
    does: "touches no memory after its reset is over",
    async run(rig) {
      const ring = launch(rig);
      rig.status = 0;
      const end = performance.now() + rig.patience;
      // Not by waiting: what it does between the two looks would not be seen.
      while (rig.status !== 0 && performance.now() < end) await rig.settle();
      const before = rig.bytes.slice();
      const used = ring.used;
      await rig.settle();
      must(ring.used === used, `it used a request after its reset: its index is ${ring.used}`);
      must(before.every((byte, i) => byte === rig.bytes[i]), "memory changed after its reset");
    },
  },
  {
    name: "reset.again",
    section: "3.1.1",
    does: "works again after a reset in the middle of its work",
    async run(rig) {
      for (let life = 0; life < 3; life++) {
        const seen = await observe(rig, { rounds: 1 });
        const wrong = Object.values(seen)[0];
        must(wrong === undefined, `in life ${life + 1} ${wrong}`);
        await rig.reset();
      }
    },
  },
];
