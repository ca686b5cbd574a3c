// Memory balloons (virtio 1.4, 5.5).

import { type Check, must, needs } from "../check.ts";
import type { Rig } from "../rig.ts";

const BALLOON = 5;
const F_STATS_VQ = 1n << 1n;
const INFLATE = 0, DEFLATE = 1, STATISTICS = 2;
const PAGE = 4096;

/** Page frame numbers of so many pages of the arena. */
function frames(rig: Rig, count: number): Uint8Array {
  const at = rig.take(count * PAGE, PAGE);
  const numbers = Uint32Array.from({ length: count }, (_, i) => rig.frame(at + i * PAGE));
  return new Uint8Array(numbers.buffer);
}

const ALL: readonly Omit<Check, "type">[] = [
  {
    name: "balloon.configuration",
    section: "5.5.4",
    does: "has room for num_pages and actual",
    run({ specific }) {
      must(specific !== undefined && specific.size >= 8, "it has fewer than 8 bytes");
      must(specific.read32(4) !== 0xffffffff, "actual is 4294967295 pages");
    },
  },
  {
    name: "balloon.inflate",
    section: "5.5.6",
    does: "takes pages and gives them back, one and many at a time",
    async run(rig) {
      const { rings: [inflate, deflate] } = rig.start({ queues: [INFLATE, DEFLATE] });
      for (const count of [1, 16]) {
        const list = frames(rig, count);
        for (const ring of [inflate!, deflate!]) {
          const { written } = await rig.ask(ring, [rig.give(list)]);
          must(written === 0, `it says that it wrote ${written} bytes into a list of pages`);
        }
      }
    },
  },
  {
    name: "balloon.reusable",
    section: "5.5.6",
    does: "leaves pages usable that it gave back",
    async run(rig) {
      const { rings: [inflate, deflate] } = rig.start({ queues: [INFLATE, DEFLATE] });
      const at = rig.take(PAGE, PAGE);
      const list = new Uint8Array(Uint32Array.of(rig.frame(at)).buffer);
      await rig.ask(inflate!, [rig.give(list)]);
      await rig.ask(deflate!, [rig.give(list)]);
      rig.bytes.fill(0x5a, at, at + PAGE);
      await rig.settle();
      must(
        rig.bytes.subarray(at, at + PAGE).every((byte) => byte === 0x5a),
        "what was written there is gone",
      );
    },
  },
  {
    name: "balloon.actual",
    section: "5.5.4",
    does: "keeps what the driver writes to actual",
    run(rig) {
      rig.start({ queues: [INFLATE, DEFLATE] });
      for (const pages of [3, 0]) {
        rig.specific!.write32(4, pages);
        const now = rig.specific!.read32(4);
        must(now === pages, `actual is ${now} where ${pages} was written`);
      }
    },
  },
  {
    name: "balloon.statistics",
    section: "5.5.6.3",
    does: "keeps the buffer of statistics until it wants newer ones",
    async run(rig) {
      needs((rig.offered & F_STATS_VQ) !== 0n, "it does not offer VIRTIO_BALLOON_F_STATS_VQ");
      const { rings: [, , ring] } = rig.start({
        features: F_STATS_VQ,
        queues: [INFLATE, DEFLATE, STATISTICS],
      });
      const figures = new Uint8Array(20);
      figures[10] = 4;
      ring!.chain(0, [rig.give(figures)]);
      ring!.offer(0);
      ring!.publish();
      rig.notify(STATISTICS);
      await rig.settle();
      rig.mustWork();
      must(ring!.used <= 1, "it gave back more than it was given");
    },
  },
];

export const BALLOON_CHECKS: readonly Check[] = ALL.map((check) => ({ ...check, type: BALLOON }));
