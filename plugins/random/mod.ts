/**
 * Driver for the VirtIO entropy device (virtio 1.4, 5.4): free slots go to the device, filled ones come back.
 *
 * @module
 */

import { definePlugin, type Plugin, Status, Word } from "@virtio/deno/plugin";

const SLOTS = 8;
const SLOT_BYTES = 4096;

/** The driver. */
const random: Plugin = definePlugin({
  plan: () => ({
    queues: { requests: { index: 0, size: SLOTS } },
    lanes: { requests: { slots: SLOTS, slotBytes: SLOT_BYTES } },
  }),

  start({ queues: { requests }, lanes: { requests: lane } }) {
    function provide(slot: number): boolean {
      requests.begin(slot);
      requests.writable(lane.offset(slot), Math.min(lane.word(slot, Word.length), SLOT_BYTES));
      return requests.commit();
    }

    function collect(slot: number, written: number): void {
      lane.complete(slot, Status.ok, written);
    }

    return {
      queueReset: (_, slots) => slots.forEach(provide),
      rung() {
        requests.drain(collect);
        lane.take(provide);
      },
    };
  },
});

export default random;
