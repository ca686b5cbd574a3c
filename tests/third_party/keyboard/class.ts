import {
  argument,
  type CheckResult,
  type ClientLane,
  defineClass,
  type DeviceClass,
  type Feed,
  listen,
  News,
  type OpenClient,
  RequestError,
  Settings,
  Status,
  text,
  usually,
} from "@virtio/deno/class";
import { EVENT_BYTES, EventType } from "./protocol.ts";

/** A key that went down or up; or a gap: the device was started anew, and keys may have been pressed meanwhile. */
export type KeyEvent = { readonly code: number; readonly value: number } | "gap";

/** What a keyboard is. */
export interface About {
  /** What it calls itself. */
  readonly name: string;
  /** The codes of its keys. */
  readonly keys: readonly number[];
}

interface Lanes {
  readonly events: ClientLane;
  readonly leds: ClientLane;
}

/** An application's view of a keyboard. */
export class KeyboardClient {
  /** What it is; the driver asks it after the start. */
  readonly about: Promise<About>;
  readonly #known = Promise.withResolvers<About>();
  readonly #news = new News<KeyEvent>({ capacity: 256, keep: "newest", missed: "gap" });
  readonly #leds: Settings;

  static open(lanes: Lanes, told: { name: string; keys: string }): OpenClient<KeyboardClient> {
    const client = new KeyboardClient(lanes);
    return {
      client,
      update() {
        if (told.keys !== "") client.#known.resolve({ name: told.name, keys: codes(told.keys) });
      },
      restarted() {
        client.#news.tell("gap");
        client.#leds.restarted();
      },
    };
  }

  private constructor({ events, leds }: Lanes) {
    this.about = this.#known.promise;
    this.about.catch(() => {});
    this.#leds = new Settings(leds);
    listen(events, {
      hear: (slot, length) => {
        const [type, , low = 0, high = 0, value = 0] = events.data(slot);
        if (length !== EVENT_BYTES || type !== EventType.key) return;
        this.#news.tell({ code: low | high << 8, value });
      },
      end: () => {
        this.#known.reject(new RequestError("Cannot tell what the keyboard is", Status.gone));
        this.#news.end();
      },
    });
  }

  /** Keys from now on, for `signal` to end. */
  changes(signal?: AbortSignal): Feed<KeyEvent> {
    argument.abortSignal(signal, "KeyboardClient.changes", "signal");
    return this.#news.feed({ signal });
  }

  /** Switches one of its lights on or off: 0 is that of Num Lock, 1 that of Caps Lock. */
  async setLed(code: number, on: boolean): Promise<void> {
    argument.integer(code, "KeyboardClient.setLed", "code", 0, 15);
    argument.flag(on, "KeyboardClient.setLed", "on");
    const data = Uint8Array.of(EventType.led, 0, code, 0, Number(on), 0, 0, 0);
    await this.#leds.apply({
      what: `switch light ${code}`,
      operation: 0,
      data,
      key: `light ${code}`,
    });
  }
}

/** The codes of the bits that are set in bytes in hexadecimal. */
function codes(hex: string): number[] {
  return [...Uint8Array.fromHex(hex)].flatMap((byte, at) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte >> bit & 1).map((bit) => 8 * at + bit)
  );
}

async function check(client: KeyboardClient): Promise<CheckResult> {
  const { name, keys } = await client.about;
  await client.setLed(1, true);
  await client.setLed(1, false);
  return {
    findings: [
      { name: "name", passed: name !== "", detail: name },
      { name: "keys", passed: keys.length > 0, detail: `${keys.length} keys` },
      { name: "lights", passed: true, detail: "Caps Lock on and off" },
    ],
    figures: { keyboard: name, keys: keys.length },
    summary: `${JSON.stringify(name)}, ${keys.length} keys`,
  };
}

const hexadecimal = text("bytes in hexadecimal", (hex) => /^([0-9a-f]{2})*$/.test(hex));

/** A keyboard. */
export const keyboard: DeviceClass<KeyboardClient> = defineClass({
  lanes: ["events", "leds"],
  properties: { name: usually(text(), ""), keys: usually(hexadecimal, "") },
  open: KeyboardClient.open,
  check,
});
