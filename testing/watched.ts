import type { DriverLane } from "../core/bus/driver_lane.ts";
import { RECORD_WORDS, Status } from "../core/bus/lane.ts";
import type { AnyPlugin, DefinedPciPlugin, PciOffer } from "../core/plugin/pci_plugin.ts";
import type { Buffer, Driver, Offer, Plugin } from "../core/plugin/plugin.ts";
import type { Virtqueue } from "../core/virtqueue/virtqueue.ts";
import type { Mistake } from "./report.ts";

/** Where device and driver may meet: stretches of the arena. */
type Stretch = readonly [offset: number, bytes: number];

const MOST_U32 = 2 ** 32 - 1;
const STATUSES: readonly number[] = Object.values(Status);

/**
 * A driver whose every call is looked at: what it gives to queues, lanes and core has the right type, lies inside of what
 * it was granted, and is given once. JavaScript lets all else pass, and an honest device may never show it.
 */
export class WatchedPlugin {
  /** To run inline in place of the one that is watched. */
  readonly plugin: AnyPlugin;
  /** What it did wrong, each mistake once. */
  readonly mistakes: Mistake[] = [];
  /** What it was offered the last time; undefined if it was not asked. */
  offer: Offer | PciOffer | undefined;
  /** Whether it was started, and can take the requests of a queue back. */
  takesBack = false;

  /** Watches a plugin. */
  constructor(plugin: AnyPlugin) {
    this.plugin = plugin.bus === "pci" ? this.#pci(plugin) : this.#virtio(plugin);
  }

  #pci(plugin: DefinedPciPlugin): DefinedPciPlugin {
    return {
      bus: "pci",
      plan: (offer) => {
        this.offer = offer;
        return plugin.plan(offer);
      },
      start: (device) => {
        const { lanes } = this.#shared(device);
        return plugin.start({ ...device, lanes });
      },
    };
  }

  #virtio(plugin: Plugin): Plugin {
    return {
      plan: (offer) => {
        this.offer = offer;
        return plugin.plan(offer);
      },
      start: (device) => {
        const { lanes, stretches } = this.#shared(device);
        const queues = Object.fromEntries(
          Object.entries(device.queues).map(([name, queue]) => [
            name,
            this.#queue(name, queue, stretches),
          ]),
        );
        const driver: Driver = plugin.start({
          ...device,
          queues,
          lanes,
          writeConfig: (field, value) => {
            this.#number(value, MOST_U32, `it calls writeConfig("${field}", ...)`, "value");
            device.writeConfig(field, value);
          },
        });
        this.takesBack = driver.queueReset !== undefined;
        return driver;
      },
    };
  }

  #shared(
    { lanes, buffers }: {
      readonly lanes: Readonly<Record<string, DriverLane>>;
      readonly buffers: Readonly<Record<string, Buffer>>;
    },
  ): { lanes: Readonly<Record<string, DriverLane>>; stretches: readonly Stretch[] } {
    const stretches = [
      ...Object.values(buffers).map(({ offset, bytes }): Stretch => [offset, bytes.length]),
      ...Object.values(lanes).map((lane): Stretch => [lane.offset(0), lane.slots * lane.slotBytes]),
    ];
    const watched = Object.entries(lanes).map(([name, lane]) => [name, this.#lane(name, lane)]);
    return { lanes: Object.fromEntries(watched), stretches };
  }

  #queue(name: string, queue: Virtqueue, stretches: readonly Stretch[]): Virtqueue {
    let begun = false;
    let writes = false;
    const buffer = (kind: "readable" | "writable", offset: number, length: number) => {
      const step = `it calls ${kind}(${shown(offset)}, ${shown(length)}) of queue ${name}`;
      if (!begun) this.#note(step, "no request was begun", "begin() before it");
      const [is, are] = [
        this.#number(offset, Infinity, step, "offset"),
        this.#number(length, MOST_U32, step, "length"),
      ];
      if (!is || !are) return;
      if (length === 0) this.#note(step, "a buffer without a byte", "a length of at least 1");
      else if (
        !stretches.some(([from, size]) => offset >= from && offset + length <= from + size)
      ) {
        this.#note(
          step,
          "bytes that are not in one of its buffers or lanes",
          "offsets of what it was granted: what else the device reaches there is another's",
        );
      }
      if (kind === "writable") writes = true;
      else if (writes) {
        this.#note(
          step,
          "it follows a writable buffer",
          "readable buffers first (virtio 1.4, 2.7.4.2)",
        );
      }
    };
    return new Proxy(queue, {
      get: (target, key) => {
        const value = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        const call = value as (...rest: unknown[]) => unknown;
        switch (key) {
          case "begin":
            return (cookie: number) => {
              this.#number(
                cookie,
                MOST_U32,
                `it calls begin(${shown(cookie)}) of queue ${name}`,
                "cookie",
              );
              begun = true;
              writes = false;
              return call.call(target, cookie);
            };
          case "readable":
          case "writable":
            return (offset: number, length: number) => {
              buffer(key, offset, length);
              return call.call(target, offset, length);
            };
          case "commit":
            return () => {
              if (!begun) {
                this.#note(
                  `it calls commit() of queue ${name}`,
                  "no request was begun",
                  "begin() before it",
                );
              }
              begun = false;
              return call.call(target);
            };
          default:
            return (...rest: unknown[]) => call.apply(target, rest);
        }
      },
    });
  }

  #lane(name: string, lane: DriverLane): DriverLane {
    const taken = new Set<number>();
    const slotOf = (slot: number, step: string) => this.#number(slot, lane.slots - 1, step, "slot");
    return new Proxy(lane, {
      get: (target, key) => {
        const value = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        const call = value as (...rest: unknown[]) => unknown;
        switch (key) {
          case "offset":
            return (slot: number) => {
              slotOf(slot, `it calls offset(${shown(slot)}) of lane ${name}`);
              return call.call(target, slot);
            };
          case "word":
          case "setWord":
            return (slot: number, word: number, ...rest: unknown[]) => {
              const step = `it calls ${key}(${
                [slot, word, ...rest].map(shown).join(", ")
              }) of lane ${name}`;
              slotOf(slot, step);
              this.#number(word, RECORD_WORDS - 1, step, "word");
              if (key === "setWord" && !Number.isInteger(rest[0])) {
                this.#note(step, `the value ${shown(rest[0])}`, "a whole number of 32 bits");
              }
              return call.call(target, slot, word, ...rest);
            };
          case "take":
            return (start: (slot: number) => boolean) =>
              call.call(target, (slot: number) => {
                taken.add(slot);
                const begun: unknown = start(slot);
                if (typeof begun !== "boolean") {
                  this.#note(
                    `it takes slot ${slot} of lane ${name}`,
                    `its function returns ${shown(begun)}`,
                    "true if it has taken the request, false if there is no room for it now",
                  );
                }
                if (!begun) taken.delete(slot);
                return begun;
              });
          case "complete":
            return (slot: number, status: number, length: number) => {
              const given = [slot, status, length].map(shown).join(", ");
              const step = `it calls complete(${given}) of lane ${name}`;
              slotOf(slot, step);
              if (!STATUSES.includes(status)) {
                this.#note(step, `the status ${shown(status)}`, "one of Status");
              }
              if (length !== undefined) this.#number(length, MOST_U32, step, "length");
              if (!taken.delete(slot)) {
                this.#note(
                  step,
                  "a slot that it does not hold",
                  "each slot is completed once after it was taken",
                );
              }
              return call.call(target, slot, status, length);
            };
          default:
            return (...rest: unknown[]) => call.apply(target, rest);
        }
      },
    });
  }

  /** Notes it if a number is not a whole one from 0 to `most`. Returns whether it is one. */
  #number(value: unknown, most: number, step: string, what: string): boolean {
    if (Number.isInteger(value) && value as number >= 0 && value as number <= most) return true;
    const end = most === Infinity ? "0 or more" : `0 to ${most}`;
    this.#note(step, `the ${what} ${shown(value)}`, `a whole number, ${end}`);
    return false;
  }

  #note(step: string, found: string, wanted: string): void {
    const is = (each: Mistake) => each.step === step && each.found === found;
    if (this.mistakes.length < 100 && !this.mistakes.some(is)) {
      this.mistakes.push({ step, found, wanted });
    }
  }
}

/** A value as people can tell it from others. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value).slice(0, 60);
  return typeof value === "bigint" ? `${value}n` : String(value).slice(0, 60);
}
