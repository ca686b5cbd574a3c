// Queues as their registers show them (virtio 1.4, 4.1.4.3 and 2.6).

import { bit, Feature } from "../../core/virtio/features.ts";
import { LARGEST_QUEUE } from "../../core/virtqueue/layout.ts";
import { type Check, must, needs } from "../check.ts";
import { COMMON } from "../common.ts";
import { exercise, watch } from "../observe.ts";
import type { Rig } from "../rig.ts";
import type { RawRing } from "../ring.ts";

/** More are not looked at. */
const MOST = 64;

/** The sizes of its queues. */
function sizes(rig: Rig): number[] {
  const count = Math.min(rig.common.read16(COMMON.numQueues), MOST);
  return Array.from({ length: count }, (_, queue) => rig.largest(queue));
}

/** Has requests done, and says what went wrong. */
async function serves(rig: Rig, ring: RawRing): Promise<string | undefined> {
  const seen = await watch(rig, ring, exercise(rig), { rounds: 2, batch: 1 });
  return Object.values(seen)[0];
}

/** Resets one queue (2.6.1). */
async function resetQueue(rig: Rig, queue: number): Promise<void> {
  const { common } = rig;
  common.write16(COMMON.queueSelect, queue);
  common.write16(COMMON.queueReset, 1);
  await rig.until(() => common.read16(COMMON.queueReset) === 0, `queue ${queue} was not reset`);
}

/** Starts a device that can reset its queues. */
function start(rig: Rig): RawRing {
  rig.needFeature(Feature.RING_RESET, "VIRTIO_F_RING_RESET");
  const { features, queue } = exercise(rig);
  const { rings } = rig.start({ features: features | bit(Feature.RING_RESET), queues: [queue] });
  return rings[0]!;
}

export const QUEUES: readonly Check[] = [
  {
    name: "queues.count",
    section: "4.1.4.3",
    does: "has at least one queue, and the last of those that it counts",
    run(rig) {
      const count = rig.common.read16(COMMON.numQueues);
      must(count > 0, "it has none");
      must(rig.largest(0) > 0, "queue 0 has size 0");
      must(rig.largest(count - 1) > 0, `it counts ${count}, and queue ${count - 1} has size 0`);
    },
  },
  {
    name: "queues.power_of_two",
    section: "2.7",
    does: "has queues whose sizes are powers of two, for split rings",
    run(rig) {
      for (const [queue, size] of sizes(rig).entries()) {
        must((size & size - 1) === 0, `queue ${queue} has size ${size}`);
      }
    },
  },
  {
    name: "queues.limit",
    section: "2.7",
    does: `has no queue of more than ${LARGEST_QUEUE} entries`,
    run(rig) {
      for (const [queue, size] of sizes(rig).entries()) {
        must(size <= LARGEST_QUEUE, `queue ${queue} has size ${size}`);
      }
    },
  },
  {
    name: "queues.beyond",
    section: "4.1.4.3.1",
    does: "has size 0 for a queue that is not there",
    run(rig) {
      const count = rig.common.read16(COMMON.numQueues);
      const size = rig.largest(count);
      must(size === 0, `it counts ${count}, and queue ${count} has size ${size}`);
    },
  },
  {
    name: "queues.select",
    section: "4.1.4.3",
    does: "keeps which queue is selected",
    run({ common }) {
      const last = Math.min(common.read16(COMMON.numQueues), MOST) - 1;
      for (const queue of [last, 0]) {
        common.write16(COMMON.queueSelect, queue);
        const now = common.read16(COMMON.queueSelect);
        must(now === queue, `it has queue ${now} selected, and not ${queue}`);
      }
    },
  },
  {
    name: "queues.smaller",
    section: "4.1.4.3.2",
    does: "takes each smaller size that is a power of two",
    run(rig) {
      rig.negotiate();
      const largest = rig.largest(0);
      for (let size = largest; size >= 2; size >>= 1) {
        rig.common.write16(COMMON.queueSize, size);
        const now = rig.common.read16(COMMON.queueSize);
        must(now === size, `queue 0 has size ${now} where ${size} was written`);
      }
    },
  },
  {
    name: "queues.addresses",
    section: "4.1.4.3",
    does: "keeps the addresses of a queue, all 64 bits of them",
    run(rig) {
      rig.negotiate();
      rig.largest(0);
      const { common } = rig;
      const registers = [COMMON.queueDescriptors, COMMON.queueDriver, COMMON.queueDevice];
      registers.forEach((at, i) => rig.write64(at, (i + 1) * 2 ** 33 + (i + 1) * 4096));
      registers.forEach((at, i) => {
        const now = common.read32(at + 4) * 2 ** 32 + common.read32(at);
        const wanted = (i + 1) * 2 ** 33 + (i + 1) * 4096;
        must(
          now === wanted,
          `it has 0x${now.toString(16)} where 0x${wanted.toString(16)} was written`,
        );
      });
    },
  },
  {
    name: "queues.not_enabled",
    section: "4.1.4.3.1",
    does: "has no queue enabled at first",
    run(rig) {
      for (const queue of sizes(rig).keys()) {
        rig.common.write16(COMMON.queueSelect, queue);
        must(rig.common.read16(COMMON.queueEnable) === 0, `queue ${queue} is enabled`);
      }
    },
  },
  {
    name: "queues.enable",
    section: "4.1.4.3",
    does: "says that a queue is enabled once it was",
    run(rig) {
      rig.negotiate();
      rig.enable(0);
      must(rig.common.read16(COMMON.queueEnable) === 1, "queue 0 does not say so");
    },
  },
  {
    name: "queues.reset",
    section: "2.6.1.1.1",
    does: "resets one queue, which is not enabled then",
    async run(rig) {
      const { queue } = start(rig);
      await resetQueue(rig, queue);
      must(rig.common.read16(COMMON.queueEnable) === 0, "it is enabled still");
    },
  },
  {
    name: "queues.reset_idle",
    section: "2.6.1.1.1",
    does: "does nothing with a queue that was reset",
    async run(rig) {
      const ring = start(rig);
      await resetQueue(rig, ring.queue);
      ring.chain(0, exercise(rig).make(rig));
      rig.offer(ring);
      await rig.settle();
      must(ring.used === 0, "it used a request");
    },
  },
  {
    name: "queues.reset_again",
    section: "2.6.1.2.1",
    does: "serves a queue that was reset and enabled anew, elsewhere and smaller",
    async run(rig) {
      const ring = start(rig);
      must(await serves(rig, ring) === undefined, "it did not serve before");
      await resetQueue(rig, ring.queue);
      const wrong = await serves(rig, rig.enable(ring.queue, Math.max(4, ring.size >> 1)));
      must(wrong === undefined, () => `after that ${wrong}`);
    },
  },
  {
    name: "queues.not_reset",
    section: "4.1.4.3.1",
    does: "says that no reset of a queue is under way where none is",
    run(rig) {
      rig.needFeature(Feature.RING_RESET, "VIRTIO_F_RING_RESET");
      needs(rig.common.size > COMMON.queueReset + 1, "its common configuration is shorter");
      rig.negotiate(bit(Feature.RING_RESET));
      rig.largest(0);
      must(rig.common.read16(COMMON.queueReset) === 0, "it says so of queue 0");
    },
  },
];
