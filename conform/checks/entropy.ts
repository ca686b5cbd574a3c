// Entropy sources (virtio 1.4, 5.4).

import { type Check, must } from "../check.ts";

const ENTROPY = 4;

const ALL: readonly Omit<Check, "type">[] = [
  {
    name: "entropy.some",
    section: "5.4.6.2",
    does: "writes at least one random byte into a buffer, and no more than it has room for",
    async run(rig) {
      const ring = rig.startQueue(0);
      for (const length of [1, 7, 64, 4096]) {
        const { written } = await rig.ask(ring, [rig.room(length)]);
        must(written >= 1 && written <= length, `it wrote ${written} of ${length} bytes`);
      }
    },
  },
  {
    name: "entropy.written",
    section: "5.4.6.2",
    does: "writes as much as it says, and nothing behind that",
    async run(rig) {
      const ring = rig.startQueue(0);
      const FILL = 0xa5;
      const { written, bytes } = await rig.ask(ring, [rig.room(256, FILL)]);
      const last = bytes.findLastIndex((byte) => byte !== FILL);
      must(last < written, `it says that it wrote ${written} bytes, and wrote byte ${last}`);
      // One byte in 256 looks as if it was not written; 16 of them do not.
      must(written < 16 || last >= written - 16, `it says ${written} bytes, and wrote ${last + 1}`);
    },
  },
  {
    name: "entropy.different",
    section: "5.4.6.2",
    does: "does not write the same bytes twice",
    async run(rig) {
      const ring = rig.startQueue(0);
      const seen = new Set<string>();
      for (let i = 0; i < 3; i++) {
        let bytes = new Uint8Array();
        while (bytes.length < 16) {
          const done = await rig.ask(ring, [rig.room(64)]);
          bytes = Uint8Array.from([...bytes, ...done.bytes.subarray(0, Math.max(1, done.written))]);
        }
        const text = bytes.subarray(0, 16).toHex();
        must(!seen.has(text), `it wrote ${text} twice`);
        seen.add(text);
      }
    },
  },
  {
    name: "entropy.several_buffers",
    section: "2.7.4.1",
    does: "fills a chain of several buffers from the first on",
    async run(rig) {
      const ring = rig.startQueue(0);
      const parts = [rig.room(1), rig.room(3), rig.room(60)];
      const { written, bytes } = await rig.ask(ring, parts);
      must(written >= 1 && written <= 64, `it says that it wrote ${written} bytes`);
      must(bytes.length === 64, "the parts are known");
    },
  },
];

export const ENTROPY_CHECKS: readonly Check[] = ALL.map((check) => ({ ...check, type: ENTROPY }));
