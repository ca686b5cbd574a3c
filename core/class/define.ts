// What a class of devices is made of, by its author.

import type { ClientLane } from "../bus/client_lane.ts";
import { checkedResult, type CheckOptions, type CheckRequest, type CheckResult } from "./check.ts";
import { type Property, type PropertyTypes, readProperties } from "./properties.ts";

/** What a driver tells about its device: the properties of its plan, and what it sets later. Not to be trusted. */
export type Told = Readonly<Record<string, unknown>>;

/** The client of one device, and what its class wants to hear of the device. */
export interface OpenClient<Client> {
  /** What the application holds. */
  readonly client: Client;
  /** The driver told properties anew, which are in force now: because they changed, or because it was started anew. */
  update?(): void;
  /**
   * Device and driver were started anew, and what was set is set no more. Requests that bear it are with the new
   * driver; those that do not have ended as `Status.unknown`. It comes after {@linkcode update}, when the device is live:
   * what it said before may be lost, and from now on nothing is.
   */
  restarted?(): void;
  /** Device or driver are gone for good, and all requests have ended: nothing will happen any more. */
  gone?(): void;
  /** Does what must be done before the device is given back in order. Bounded in time. */
  close?(): Promise<void>;
}

/** The client of one device, for the kernel. */
export interface OpenDevice<Client = unknown> {
  /** What the application holds. */
  readonly client: Client;
  /**
   * Takes over what the driver tells anew.
   *
   * @throws TypeError If it is not what the class wants; the driver is ended then.
   */
  update(told: Told): void;
  /** Device and driver were started anew, and the device is live; it comes after {@linkcode update}. */
  restarted(): void;
  /** Device or driver are gone for good; it comes once, after the lanes have failed. */
  gone(): void;
  /** Does what must be done before the device is given back in order. */
  close(): Promise<void>;
  /** Puts the device to work and looks at what comes of it; a class need not bring that. */
  check?(options: CheckOptions): Promise<CheckResult>;
}

/** What the drivers of a class and its clients have agreed on, for people and for tools. */
export interface ClassProtocol {
  /** Names of the lanes that each driver plans. */
  readonly lanes: readonly string[];
  /** Names of those that a driver may plan. */
  readonly optional: readonly string[];
  /** What each driver tells of its device, by name: what it may be. */
  readonly properties: Readonly<Record<string, Property<unknown>>>;
}

/**
 * A class of devices: what an application holds of one, whatever drives it. It is a value, made by {@linkcode
 * defineClass}, that an application hands to the kernel; it runs in the application, with its rights.
 */
export interface DeviceClass<Client = unknown> {
  /** What its drivers and its clients have agreed on. */
  readonly protocol?: ClassProtocol;
  /**
   * Makes the client of a device.
   *
   * @param lanes The lanes that its driver planned, by name.
   * @param told What its driver tells about it.
   * @param driver The driver's name, for errors.
   * @throws TypeError If lanes or properties are not those of the class.
   */
  open(lanes: ReadonlyMap<string, ClientLane>, told: Told, driver: string): OpenDevice<Client>;
}

/** What an application holds of a device of that class. */
export type ClientOf<Class> = Class extends DeviceClass<infer Client> ? Client : never;

/** Lanes by their names, those that a driver may leave out included. */
export type Lanes<Name extends string, Optional extends string = never> =
  & { readonly [Each in Name]: ClientLane }
  & { readonly [Each in Optional]?: ClientLane };

/** What a class is made of: lanes and properties are what driver and client have agreed on. */
export interface ClassDefinition<Lane extends string, Optional extends string, Properties, Client> {
  /** Names of the lanes that each driver of the class plans. */
  readonly lanes: readonly Lane[];
  /** Names of the lanes that a driver may plan. */
  readonly optional?: readonly Optional[];
  /** What each driver of the class tells of its device; nothing if left out. */
  readonly properties?: PropertyTypes<Properties>;
  /**
   * Makes the client of a device.
   *
   * @param lanes The lanes by their names.
   * @param properties What the driver told last, checked: it changes when the driver tells it anew, before `update` is called.
   * @throws TypeError If they do not fit together; the driver is ended then.
   */
  open(
    lanes: Lanes<Lane, Optional>,
    properties: Readonly<Properties>,
  ): OpenClient<Client>;
  /**
   * Puts a device to work and looks at what comes of it: what the command `check` does, and `device.check`. It harms nothing
   * unless it may write, and says what it begins, for there is a deadline for each step.
   *
   * @param client What the application holds.
   * @param request How it is to be checked, and what the driver told last.
   * @returns What was found. What it throws counts as a failure of the device.
   */
  check?(client: NoInfer<Client>, request: CheckRequest<Properties>): Promise<CheckResult>;
}

/**
 * Makes a class of devices.
 *
 * @example
 * ```ts
 * import { type ClientLane, defineClass, type DeviceClass, u32 } from "@virtio/deno/class";
 *
 * // What an application holds of a device that counts.
 * interface Counter {
 *   readonly count: number;
 *   readonly most: number;
 * }
 *
 * export const counter: DeviceClass<Counter> = defineClass({
 *   lanes: ["requests"],
 *   properties: { most: u32 },
 *   open: ({ requests }, properties) => ({
 *     client: {
 *       get count() { return requests.ended; },
 *       get most() { return properties.most; },
 *     },
 *   }),
 *   // deno-lint-ignore require-await
 *   async check({ count, most }, { step }) {
 *     step("looking at its count");
 *     const finding = { name: "count", passed: count <= most, detail: `${count} of ${most}` };
 *     return { findings: [finding], figures: { count, most }, summary: finding.detail };
 *   },
 * });
 * ```
 */
export function defineClass<
  const Lane extends string,
  Client,
  const Optional extends string = never,
  Properties extends object = object,
>(definition: ClassDefinition<Lane, Optional, Properties, Client>): DeviceClass<Client> {
  const { lanes: needed, optional = [], properties: types, check } = definition;
  return {
    protocol: { lanes: needed, optional, properties: { ...types } },
    open(lanes, told, driver) {
      const missing = needed.find((name) => !lanes.has(name));
      if (missing !== undefined) {
        throw new TypeError(
          `The driver's plan has no lane named ${missing}, which its class needs; it has ` +
            ([...lanes.keys()].join(", ") || "none"),
        );
      }
      const known = [...needed, ...optional].map((name) => [name, lanes.get(name)]);
      const read = (told: Told) => types ? readProperties(types, told, driver) : {} as Properties;
      const properties = read(told);
      const opened = definition.open(Object.fromEntries(known), properties);
      const { client } = opened;
      return {
        client,
        update(told) {
          Object.assign(properties, read(told));
          opened.update?.();
        },
        restarted: () => opened.restarted?.(),
        gone: () => opened.gone?.(),
        close: async () => await opened.close?.(),
        ...(check && {
          check: async ({ write, step = () => {} }) =>
            checkedResult(await check(client, { write, step, properties })),
        }),
      };
    },
  };
}
