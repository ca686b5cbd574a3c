// What the author of a driver writes, and is given.

import type { DriverLane } from "../bus/driver_lane.ts";
import type { Virtqueue } from "../virtqueue/virtqueue.ts";
import type { Tunables } from "./tunables.ts";

/** Version of the plugin API. A driver says its own in the first message; the core refuses one that it does not know. */
export const API = 1;

/** Where a plugin says which version it is written for: it may import another one of this package than the core is of. */
const WRITTEN_FOR = Symbol.for("virtio.plugin_api");

/** What a device offers: all that a driver may know before it decides. */
export interface Offer {
  /** The feature bits that are the driver's to choose from: those of the device type (virtio 1.4, 2.2). */
  readonly features: bigint;
  /** The device-specific configuration as it stood at one moment. */
  readonly config: Config;
  /** The greatest size of each virtqueue, by its index; 0 where there is none. */
  readonly queues: readonly number[];
  /** Whether the device is driven as before version 1 of the specification, with all that was different then (2.2.3). */
  readonly legacy: boolean;
  /** What the user chose of what `plugin.json` lets him choose; the usual values for the rest. */
  readonly tunables: Tunables;
}

/** A consistent copy of the device-specific configuration. Reading past its end gives 0. */
export interface Config {
  /** Length in bytes. */
  readonly length: number;
  /** 8 bits at a byte offset. */
  u8(offset: number): number;
  /** 16 bits, little-endian. */
  u16(offset: number): number;
  /** 32 bits, little-endian. */
  u32(offset: number): number;
  /** 64 bits, little-endian. */
  u64(offset: number): bigint;
}

/** One virtqueue that a driver wants. */
export interface QueuePlan {
  /** Its index on the device. */
  readonly index: number;
  /** Entries, a power of two; the core takes less if the device has less. */
  readonly size: number;
  /** Calls of `readable` and `writable` that one request takes at most; 1 if left out. */
  readonly buffers?: number;
}

/** One lane that a driver wants: how its client's requests reach it. */
export interface LanePlan {
  /** Requests that the client may have under way, at most 4096. */
  readonly slots: number;
  /** Bytes of data that each may carry. */
  readonly slotBytes: number;
  /**
   * Milliseconds that a request may stay with the device, before that counts as hung and is started anew; the
   * kernel's `requestDeadline` if left out. 0 for requests that wait for something to happen, for example for a frame
   * from the network: they may stay for ever.
   */
  readonly deadline?: number;
}

/** What a driver wants of a device. */
export interface Plan<Q extends string, L extends string, B extends string> {
  /** The features that it wants, a subset of the offer; none if left out. */
  readonly features?: bigint;
  /** Its virtqueues, by names of its own. */
  readonly queues: { readonly [Name in Q]: QueuePlan };
  /** Its lanes, by the names that the class of the device knows. */
  readonly lanes: { readonly [Name in L]: LanePlan };
  /** Memory of its own that the device reaches: bytes, by names of its own, each on pages of its own. */
  readonly buffers?: { readonly [Name in B]: number };
  /** What the class tells its clients about the device, for example its capacity. */
  readonly properties?: Properties;
  /** Whether the driver needs {@linkcode Device.frame}. A platform that cannot know refuses the plan then. */
  readonly physical?: boolean;
}

/** Facts about a device for its clients; which, the class says. */
export type Properties = Readonly<Record<string, number | string | boolean>>;

/** The answer of a driver that does not want the device. */
export interface Decline {
  /** Why not: a sentence for people. */
  readonly decline: string;
}

/** A stretch of the arena. */
export interface Buffer {
  /** Where it begins in the arena, for {@linkcode Virtqueue.readable} and `writable`. */
  readonly offset: number;
  /** Its bytes. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
}

/** What a driver holds of its device, once the core has granted its plan. */
export interface Device<Q extends string, L extends string, B extends string> {
  /** The features that were agreed: those that were planned. */
  readonly features: bigint;
  /** The planned virtqueues. */
  readonly queues: { readonly [Name in Q]: Virtqueue };
  /** The planned lanes. */
  readonly lanes: { readonly [Name in L]: DriverLane };
  /** The planned memory. */
  readonly buffers: { readonly [Name in B]: Buffer };
  /** The device-specific configuration, read after the features were agreed: some fields mean nothing before. */
  readonly config: Config;
  /** As in the offer. */
  readonly legacy: boolean;
  /** As in the offer. */
  readonly tunables: Tunables;
  /**
   * Writes a field of the configuration that `plugin.json` marks as writable (`"u32 rw"`). The core does it a little
   * later; what is written while the driver starts stands there before DRIVER_OK is set.
   *
   * @param field Its name in `plugin.json`.
   */
  writeConfig(field: string, value: number): void;
  /**
   * Has the configuration read anew, after what was written before: {@linkcode Driver.configured} gets it. For devices that
   * show in it what was selected there (virtio 1.4, 5.8.4). A driver that asks again before the answer may get one for both.
   */
  readConfig(): void;
  /** Tells the clients new properties of the device. */
  setProperties(properties: Properties): void;
  /**
   * The number of the page frame of 4096 bytes in the machine's own memory in which a byte of the arena is. Only with
   * {@linkcode Plan.physical}: device addresses, which the queues use by themselves, may be other ones.
   *
   * @param offset A place in the arena.
   */
  frame(offset: number): number;
  /** Whether {@linkcode resetQueue} can be used: the device offers VIRTIO_F_RING_RESET. */
  readonly canResetQueues: boolean;
  /**
   * Takes all requests of a queue back from the device, without a reset of all of it (virtio 1.4, 2.6.1). The driver
   * rests until that is done; then its {@linkcode Driver.queueReset} is called.
   */
  resetQueue(name: Q): void;
}

/** A driver at work. */
export interface Driver {
  /**
   * Something may have happened: requests from the client, completions from the device, or nothing at all. Called
   * once after the start without a reason. What it committed to queues and
   * completed in lanes is published by its host when it returns.
   */
  rung(): void;
  /**
   * The device's configuration has changed, or was read because the driver asked.
   *
   * @returns The new properties, if they changed too.
   */
  configured?(config: Config): Properties | undefined;
  /**
   * A queue was reset, because the driver asked for it or because the device broke a rule of it, and is empty now.
   * Without this method a broken queue means that device and driver are started anew.
   *
   * @param name The queue's name in the plan.
   * @param cookies Those of the requests that the device did not finish, in the order of their commits. They may be
   * committed again.
   */
  queueReset?(name: string, cookies: readonly number[]): void;
  /** What the driver has counted so far, by names for people; asked for when an application looks. */
  statistics?(): Readonly<Record<string, number>>;
  /** The device was reset and no request will come back; last chance to tidy up. */
  stop?(): void;
}

/** A driver as a plugin: decides without side effects, then starts. */
export interface Plugin<
  Q extends string = string,
  L extends string = string,
  B extends string = string,
> {
  /** What kind of devices it drives. */
  readonly bus?: "virtio";
  /** Answers an offer. It must not do anything else: it may be asked again. */
  plan(offer: Offer): Plan<Q, L, B> | Decline;
  /**
   * Takes a granted device. What it needs at run time it allocates here, once.
   *
   * What it commits to queues here is with the device before DRIVER_OK is set. A driver of a device that speaks first, as a
   * keyboard does, takes what clients lend for that here: what such a device has no room for is lost.
   */
  start(device: Device<Q, L, B>): Driver;
}

/** Where a driver host waits for the plugin that its process was started for. */
export const HOST = Symbol.for("virtio.driver_host");

/** Marks a plugin with the version of this API, and hands it to the host that waits for one. */
export function handOver<T extends object>(plugin: T): T {
  const marked: T = { ...plugin, [WRITTEN_FOR]: API };
  const host = (globalThis as { [HOST]?: { plugin?: unknown } })[HOST];
  if (host) host.plugin = marked;
  return marked;
}

/** The version of the API that a plugin is written for; this one, if it was made without `definePlugin`. */
export function apiOf(plugin: object): number {
  return (plugin as { [WRITTEN_FOR]?: number })[WRITTEN_FOR] ?? API;
}

/**
 * Makes a driver of `plan` and `start`. In a driver host's own process the driver then serves its device; everywhere
 * else it is a value that an application can hand to the kernel.
 *
 * @example
 * ```ts
 * import { definePlugin, type Plugin } from "@virtio/deno/plugin";
 *
 * const plugin: Plugin = definePlugin({
 *   plan: () => ({
 *     queues: { requests: { index: 0, size: 8 } },
 *     lanes: { requests: { slots: 8, slotBytes: 256 } },
 *   }),
 *   start: ({ queues: { requests }, lanes }) => ({
 *     rung() {
 *       requests.drain((slot, written) => lanes.requests.complete(slot, 0, written));
 *       lanes.requests.take((slot) => {
 *         requests.begin(slot);
 *         requests.writable(lanes.requests.offset(slot), 256);
 *         return requests.commit();
 *       });
 *     },
 *   }),
 * });
 * export default plugin;
 * ```
 */
export function definePlugin<
  const Q extends string,
  const L extends string,
  const B extends string = never,
>(plugin: Plugin<Q, L, B>): Plugin {
  // Names only matter while the driver is written: the core knows them as strings.
  const given = plugin as unknown as Plugin;
  return handOver<Plugin>({
    plan: (offer) => given.plan(offer),
    start: (device) => given.start(device),
  });
}
