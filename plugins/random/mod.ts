/**
 * Driver for the VirtIO entropy device (virtio 1.4, 5.4): free slots go to the device, filled ones come back.
 *
 * @module
 */

import { definePlugin, type Plugin, Status, Word } from "@virtio/deno/plugin";
import { QUEUE_REQUEST } from "./wire.ts";

const SLOTS = 8;
const SLOT_BYTES = 4096;

/** The driver. */
const random: Plugin = definePlugin({
  plan: () => ({
    queues: { requests: { index: QUEUE_REQUEST, size: SLOTS } },
    lanes: { requests: { slots: SLOTS, slotBytes: SLOT_BYTES } },
  }),

  start({ queues: { requests }, lanes: { requests: lane } }) {
    function provide(slot: number): boolean {
      requests.begin(slot);
      requests.writable(lane.offset(slot), Math.min(lane.word(slot, Word.length), SLOT_BYTES));
      return requests.commit();
    }

    let answers = 0;
    let bytes = 0;
    let empty = 0;

    /** What the device says that it wrote counts, and no answer need be full (virtio 1.4, 5.4.6.1). */
    function collect(slot: number, written: number): void {
      answers++;
      bytes += written;
      if (written === 0) empty++;
      lane.complete(slot, Status.ok, written);
    }

    return {
      queueReset: (_, slots) => slots.forEach(provide),
      rung() {
        requests.drain(collect);
        lane.take(provide);
      },
      statistics: () => ({ answers, bytes, empty_answers: empty }),
    };
  },
});

export default random;
