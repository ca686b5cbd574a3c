// What a class of devices is made of, by its author.

import type { ClientLane } from "../bus/client_lane.ts";

/** What a driver tells about its device: the properties of its plan, and what it sets later. Not to be trusted. */
export type Told = Readonly<Record<string, unknown>>;

/** The client of one device, and what the kernel does with it. */
export interface OpenClient<Client> {
  /** What the application holds. */
  readonly client: Client;
  /**
   * Takes over what the driver tells anew: when it says so, and when it was started anew.
   *
   * @throws TypeError If it is not what the class wants; the driver is ended then.
   */
  update?(told: Told): void;
  /** Does what must be done before the device is given back in order. Bounded in time. */
  close?(): Promise<void>;
}

/**
 * A class of devices: what an application holds of one, whatever drives it. It is a value, made by {@linkcode
 * defineClass}, that an application hands to the kernel; it runs in the application, with its rights.
 */
export interface DeviceClass<Client = unknown> {
  /**
   * Makes the client of a device.
   *
   * @param lanes The lanes that its driver planned, by name.
   * @param told What its driver tells about it.
   * @throws TypeError If lanes or properties are not those of the class.
   */
  open(lanes: ReadonlyMap<string, ClientLane>, told: Told): OpenClient<Client>;
}

/** What an application holds of a device of that class. */
export type ClientOf<Class> = Class extends DeviceClass<infer Client> ? Client : never;

/** What a class is made of: the lanes are what driver and client have agreed on. */
export interface ClassDefinition<Lane extends string, Optional extends string, Client> {
  /** Names of the lanes that each driver of the class plans. */
  readonly lanes: readonly Lane[];
  /** Names of the lanes that a driver may plan. */
  readonly optional?: readonly Optional[];
  /** As {@linkcode DeviceClass.open}, with the lanes by their names. */
  open(
    lanes: { readonly [Name in Lane]: ClientLane } & { readonly [Name in Optional]?: ClientLane },
    told: Told,
  ): OpenClient<Client>;
}

/**
 * Makes a class of devices.
 *
 * @example
 * ```ts
 * import { defineClass, type DeviceClass } from "@virtio/deno/class";
 *
 * // What an application holds of a device that counts.
 * interface Counter {
 *   readonly count: number;
 * }
 *
 * export const counter: DeviceClass<Counter> = defineClass({
 *   lanes: ["requests"],
 *   open({ requests }) {
 *     return { client: { get count() { return requests.ended; } } };
 *   },
 * });
 * ```
 */
export function defineClass<
  const Lane extends string,
  Client,
  const Optional extends string = never,
>(definition: ClassDefinition<Lane, Optional, Client>): DeviceClass<Client> {
  const { lanes: needed, optional = [] } = definition;
  return {
    open(lanes, told) {
      const missing = needed.find((name) => !lanes.has(name));
      if (missing !== undefined) {
        throw new TypeError(
          `The driver's plan has no lane named ${missing}, which its class needs; it has ` +
            ([...lanes.keys()].join(", ") || "none"),
        );
      }
      const known = [...needed, ...optional].map((name) => [name, lanes.get(name)]);
      return definition.open(Object.fromEntries(known), told);
    },
  };
}
