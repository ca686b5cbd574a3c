// Packed rings (virtio 1.4, 2.8), with the same requests as split ones.

import { bit, Feature } from "../../core/virtio/features.ts";
import { AVAILABLE, NEXT, USED, WRITE } from "../../core/virtqueue/descriptor.ts";
import { EVENT_DESCRIPTOR, EVENT_DISABLE, wanted } from "../../core/virtqueue/event_index.ts";
import { DESCRIPTOR_BYTES } from "../../core/virtqueue/layout.ts";
import { type Check, must } from "../check.ts";
import { COMMON } from "../common.ts";
import { exercise } from "../observe.ts";
import type { Rig } from "../rig.ts";

const SIZE = 8;
const BOTH = AVAILABLE | USED;
const EVENT_IDX = bit(Feature.EVENT_IDX);

/** Has requests done by a packed ring, one after the other; notifies only where the device wants that, if asked to. */
async function laps(rig: Rig, requests: number, more: bigint, polite: boolean): Promise<void> {
  rig.needFeature(Feature.RING_PACKED, "VIRTIO_F_RING_PACKED");
  const request = exercise(rig);
  const { queue } = request;
  const agreed = rig.negotiate(request.features | bit(Feature.RING_PACKED) | more);
  must(rig.largest(queue) >= SIZE, `queue ${queue} has fewer than ${SIZE} entries`);
  const ring = rig.take(SIZE * DESCRIPTOR_BYTES, 4096);
  const [driver, device] = [rig.take(4), rig.take(4, 4096)];
  rig.common.write16(COMMON.queueSize, SIZE);
  rig.write64(COMMON.queueDescriptors, rig.address(ring));
  rig.write64(COMMON.queueDriver, rig.address(driver));
  rig.write64(COMMON.queueDevice, rig.address(device));
  rig.common.write16(COMMON.queueEnable, 1);
  rig.go();
  const words = new Uint32Array(rig.bytes.buffer);
  let [slot, wrap] = [0, 1];
  for (let id = 0; id < requests; id++) {
    const parts = request.make(rig);
    const [first, firstWrap] = [slot, wrap];
    let firstWord = 0;
    parts.forEach(({ offset, length, write }, i) => {
      const at = (ring + slot * DESCRIPTOR_BYTES) / 4;
      const address = rig.address(offset);
      words[at] = address % 2 ** 32;
      words[at + 1] = Math.floor(address / 2 ** 32);
      words[at + 2] = length;
      const flags = (write ? WRITE : 0) | (i < parts.length - 1 ? NEXT : 0) |
        (wrap ? AVAILABLE : USED);
      const word = id % SIZE | flags << 16;
      // The first one makes all of them available.
      if (i === 0) firstWord = word;
      else words[at + 3] = word;
      slot++;
      if (slot === SIZE) [slot, wrap] = [0, wrap ^ 1];
    });
    const at = (ring + first * DESCRIPTOR_BYTES) / 4;
    Atomics.store(words, at + 3, firstWord);
    const event = Atomics.load(words, device / 4);
    const flags = event >>> 16 & 3;
    must(flags !== 3, "the flags of its event suppression are 3");
    if (flags === EVENT_DESCRIPTOR) {
      must((agreed & EVENT_IDX) !== 0n, "it names a descriptor, and no event index was agreed");
      must((event & 0x7fff) < SIZE, `it wants to be notified of descriptor ${event & 0x7fff}`);
    }
    const wants = flags !== EVENT_DISABLE &&
      wanted(event, slot, wrap, parts.length, SIZE, (agreed & EVENT_IDX) !== 0n);
    if (!polite || wants) rig.notify(queue);
    const isUsed = () => {
      const now = Atomics.load(words, at + 3) >>> 16 & BOTH;
      if (now === (firstWrap ? BOTH : 0)) return true;
      rig.mustWork();
      return false;
    };
    await rig.until(isUsed, `request ${id} was not used with wrap counter ${firstWrap}`);
    const [written, given] = [words[at + 2]!, words[at + 3]! & 0xffff];
    must(given === id % SIZE, `it gave buffer ${given} back, and not ${id % SIZE}`);
    const [least, most] = request.written;
    must(written >= least && written <= most, `it says that it wrote ${written} bytes`);
    const wrong = request.wrong?.(rig.read(parts));
    must(wrong === undefined, wrong!);
  }
}

export const PACKED: readonly Check[] = [
  {
    name: "packed.laps",
    section: "2.8.1",
    does: "uses requests of a packed ring, for several laps of it",
    run: (rig) => laps(rig, 24, 0n, false),
  },
  {
    name: "packed.event_index",
    section: "2.8.10",
    does: "works with event indexes in a packed ring",
    async run(rig) {
      rig.needFeature(Feature.EVENT_IDX, "VIRTIO_F_EVENT_IDX");
      await laps(rig, 24, EVENT_IDX, false);
    },
  },
  {
    name: "packed.notify",
    section: "2.8.10",
    does: "does requests of which it did not want to be notified",
    run: (rig) => laps(rig, 10, 0n, true),
  },
  {
    name: "packed.notify_event",
    section: "2.8.10",
    does: "does requests of which it did not want to be notified by its event index",
    async run(rig) {
      rig.needFeature(Feature.EVENT_IDX, "VIRTIO_F_EVENT_IDX");
      await laps(rig, 10, EVENT_IDX, true);
    },
  },
];
