import {
  argument,
  type CheckResult,
  type ClientLane,
  defineClass,
  type DeviceClass,
  Feed,
  RequestError,
  Status,
  type Told,
  Word,
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

/** An application's view of a keyboard. */
export class KeyboardClient {
  /** What it is; the driver asks it after the start. */
  readonly about: Promise<About>;
  readonly #known = Promise.withResolvers<About>();
  readonly #events: ClientLane;
  readonly #leds: ClientLane;
  readonly #feeds = new Set<Feed<KeyEvent>>();
  readonly #lit = new Map<number, boolean>();

  constructor(events: ClientLane, leds: ClientLane) {
    this.#events = events;
    this.#leds = leds;
    this.about = this.#known.promise;
    this.about.catch(() => {});
    for (let slot = events.take(); slot >= 0; slot = events.take()) this.#lend(slot);
    events.publish();
  }

  /** Keys from now on; of those that nobody takes, the newest 256 stay. */
  events(): Feed<KeyEvent> {
    const feed = new Feed<KeyEvent>(
      { capacity: 256, keep: "newest" },
      (it) => this.#feeds.delete(it),
    );
    this.#feeds.add(feed);
    return feed;
  }

  /** Switches one of its lights on or off: 0 is that of Num Lock, 1 that of Caps Lock. */
  async setLed(code: number, on: boolean): Promise<void> {
    argument.integer(code, "KeyboardClient.setLed", "code", 0, 15);
    this.#lit.set(code, argument.flag(on, "KeyboardClient.setLed", "on"));
    const action = `Cannot switch light ${code}`;
    const slot = await this.#leds.taken(action);
    this.#leds.data(slot).set([EventType.led, 0, code, 0, Number(on), 0, 0, 0]);
    const status = await new Promise<number>((resolve) => {
      this.#leds.submit(slot, (_, status) => resolve(status));
      this.#leds.publish();
    });
    this.#leds.release(slot);
    if (status !== Status.ok) throw new RequestError(action, status);
  }

  #lend(slot: number): void {
    this.#events.submit(slot, (slot, status) => this.#came(slot, status));
  }

  #came(slot: number, status: number): void {
    if (status === Status.gone) {
      this.#known.reject(new RequestError("Cannot tell what the keyboard is", status));
      for (const feed of this.#feeds) feed.end();
      return this.#events.release(slot);
    }
    const [type, , low = 0, high = 0, value = 0] = this.#events.data(slot);
    const whole = this.#events.word(slot, Word.length) === EVENT_BYTES;
    if (whole && type === EventType.key) this.#tell({ code: low | high << 8, value });
    this.#lend(slot);
    this.#events.publish();
  }

  #tell(event: KeyEvent): void {
    for (const feed of this.#feeds) feed.put(event);
  }

  /** For the class: what the driver tells, which is nothing yet where it was started anew. */
  hear({ name, keys }: Told): void {
    if (typeof name === "string" && typeof keys === "string") {
      this.#known.resolve({ name, keys: codes(keys) });
      return;
    }
    this.#tell("gap");
    for (const [code, on] of this.#lit) this.setLed(code, on).catch(() => {});
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

/** A keyboard. */
export const keyboard: DeviceClass<KeyboardClient> = defineClass({
  lanes: ["events", "leds"],
  open({ events, leds }, told: Told) {
    const client = new KeyboardClient(events, leds);
    return { client, update: () => client.hear(told) };
  },
  check,
});
