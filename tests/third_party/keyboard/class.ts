import { argument, defineClass, type DeviceClass, type Feed, listen } from "@virtio/deno/class";
import { News, RequestError, Settings, Status, text, usually } from "@virtio/deno/class";
import { EVENT_BYTES, EventType } from "./protocol.ts";

/** A key that went down (1), up (0) or repeats (2); or a gap: the device was started anew, and keys may be missing. */
export type KeyEvent = { readonly code: number; readonly value: number } | "gap";

/** An application's view of a keyboard. */
export interface Keyboard {
  /** What it calls itself, and the codes of its keys: the driver asks it after each start. */
  about(): Promise<{ readonly name: string; readonly keys: readonly number[] }>;
  /** Keys from now on; of those that wait for their reader, the newest 256 stay. */
  events(): Feed<KeyEvent>;
  /** Switches a light on or off: 0 is that of Num Lock, 1 that of Caps Lock. */
  setLed(led: number, on: boolean): Promise<void>;
}

/** A keyboard. */
export const keyboard: DeviceClass<Keyboard> = defineClass({
  lanes: ["events", "leds"],
  properties: { name: usually(text(), ""), keys: usually(text(), "") },

  open({ events, leds }, told) {
    const known = Promise.withResolvers<void>();
    known.promise.catch(() => {});
    const keys = new News<KeyEvent>("Keyboard.events", { missed: "gap" });
    const lights = new Settings(leds);
    listen(events, (slot, length) => {
      const [type, , low = 0, high = 0, value = 0] = events.data(slot);
      if (length !== EVENT_BYTES || type !== EventType.key) return;
      keys.tell({ code: low | high << 8, value });
    });
    return {
      client: {
        async setLed(led, on) {
          argument.integer(led, "Keyboard.setLed", "led", 0, 15);
          const data = Uint8Array.of(EventType.led, 0, led, 0, Number(on), 0, 0, 0);
          const what = `switch light ${led}`;
          await lights.apply({ what, operation: 0, data, key: what });
        },
        async about() {
          await known.promise;
          const bits = Uint8Array.fromHex(told.keys);
          const codes = Array.from({ length: 8 * bits.length }, (_, code) => code);
          return {
            name: told.name,
            keys: codes.filter((code) => bits[code >> 3]! >> code % 8 & 1),
          };
        },
        events: () => keys.feed(),
      },
      update: () => told.keys !== "" && known.resolve(),
      restarted() {
        keys.tell("gap");
        lights.restarted();
      },
      gone() {
        known.reject(new RequestError("Cannot tell what the keyboard is", Status.gone));
        keys.end();
      },
    };
  },

  async check(client, { step }) {
    step("asking what it is, and switching a light");
    const { name, keys: { length } } = await client.about();
    for (const on of [true, false]) await client.setLed(1, on);
    const findings = [{ name: "keys", passed: length > 0, detail: `${length} keys` }];
    return { findings, figures: { name, keys: length }, summary: `${name}, ${length} keys` };
  },
});
