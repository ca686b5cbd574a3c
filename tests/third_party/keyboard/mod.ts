/** The driver of a keyboard (virtio 1.4, 5.8): room for events goes to the device and comes back with a key each; its name and
 * its keys are selected in its configuration. @module */

import { definePlugin, type Plugin, Status } from "@virtio/deno/plugin";
import { EVENT_BYTES, EventType } from "./protocol.ts";

/** What can be selected in the configuration, and where what was selected stands (5.8.4). */
const Select = { name: 0x01, events: 0x11 } as const;
const Field = { select: 0, size: 2, data: 8 } as const;

const keyboard: Plugin = definePlugin({
  plan: () => ({
    queues: { events: { index: 0, size: 64 }, status: { index: 1, size: 8 } },
    lanes: {
      events: { slots: 64, slotBytes: EVENT_BYTES, deadline: 0 }, // for a key, for ever
      leds: { slots: 8, slotBytes: EVENT_BYTES },
    },
  }),

  start({ queues: { events, status }, lanes, writeConfig, readConfig }) {
    let name = "";

    function select(what: number, which: number): void {
      writeConfig("select", what);
      writeConfig("subsel", which);
      readConfig();
    }

    function lend(slot: number): boolean {
      events.begin(slot);
      events.writable(lanes.events.offset(slot), EVENT_BYTES);
      return events.commit();
    }

    function send(slot: number): boolean {
      status.begin(slot);
      status.readable(lanes.leds.offset(slot), EVENT_BYTES);
      return status.commit();
    }

    select(Select.name, 0);
    lanes.events.take(lend); // before the device is live, so that no key is lost
    return {
      configured(config) {
        const size = Math.min(config.u8(Field.size), 128);
        const bytes = Uint8Array.from({ length: size }, (_, i) => config.u8(Field.data + i));
        if (config.u8(Field.select) === Select.events) return { name, keys: bytes.toHex() };
        name = new TextDecoder().decode(bytes).replace(/\0.*/s, ""); // QEMU ends it as C does
        select(Select.events, EventType.key);
      },
      rung() {
        events.drain((slot, written) => lanes.events.complete(slot, Status.ok, written));
        status.drain((slot) => lanes.leds.complete(slot, Status.ok, 0));
        lanes.events.take(lend);
        lanes.leds.take(send);
      },
    };
  },
});

export default keyboard;
