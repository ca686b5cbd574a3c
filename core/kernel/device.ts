// What an application sees of an attached device.

import type { BindingDescription } from "../binding/binding.ts";
import type { CheckOptions, CheckResult } from "../class/check.ts";
import type { ClientOf, DeviceClass } from "../class/define.ts";
import type { QueueReport } from "../bus/message.ts";
import type { Isolation } from "./driver_host.ts";

/**
 * Classes of devices by name, as an application hands them to the kernel. As a bound, `C extends Classes<C>`, it takes an
 * interface of known names as well as a record of any.
 */
export type Classes<C = Record<string, unknown>> = { readonly [Name in keyof C]: DeviceClass };

/** A device that its driver drives. Disposing it stops the driver and resets the device. */
export interface AttachedDevice<
  Name extends string | undefined = string | undefined,
  Client = unknown,
> extends AsyncDisposable {
  /** PCI address. */
  readonly address: string;
  /** Name of the driver. */
  readonly driver: string;
  /**
   * What it is to an application: the name of a class that the kernel was given; undefined if it was not given the one
   * that the driver names.
   */
  readonly class: Name;
  /** What an application uses it through; undefined without a class. */
  readonly client: Client;
  /**
   * Puts it to work and looks at what comes of it, as its class knows how; undefined without a class, or if that brings no
   * check.
   */
  readonly check: ((options: CheckOptions) => Promise<CheckResult>) | undefined;
  /** Where the driver runs. */
  readonly isolation: Isolation;
  /** The driver's process, if it has one of its own; the latest one, if it was started anew. */
  readonly pid: number | undefined;
  /** How often it, or one of its queues, was started anew since it was attached. */
  readonly restarts: number;
  /** Why nothing keeps the device from reaching all memory, if so. */
  readonly unsafeDma: string | undefined;
  /** Settles when the device is out of work: with the reason, or undefined if it was stopped in order. */
  readonly gone: Promise<string | undefined>;
  /** The state of device, driver and queues now, as plain data. */
  describe(): Promise<DeviceDescription>;
}

/** A device of one of these classes. */
export type DeviceOf<C extends Classes<C>, Name extends keyof C & string = keyof C & string> = {
  [Each in Name]: AttachedDevice<Each, ClientOf<C[Each]>>;
}[Name];

/**
 * A device of one of these classes, or of a class that the kernel was not given: looking at its `class` tells the type of
 * its `client`.
 */
export type AnyDeviceOf<C extends Classes<C>> = DeviceOf<C> | AttachedDevice<undefined, undefined>;

/** A device at work, as plain data. */
export interface DeviceDescription extends Omit<BindingDescription, "queues"> {
  /** PCI address. */
  readonly address: string;
  /** Name of the driver. */
  readonly driver: string;
  /** What it is to an application: the class that its driver names. */
  readonly class: string;
  /** Where the driver runs. */
  readonly isolation: Isolation;
  /** The driver's process. */
  readonly pid?: number;
  /** Where device and driver are in their life. */
  readonly state: "starting" | "running" | "recovering" | "ending" | "gone";
  /** How often it, or one of its queues, was started anew since it was attached. */
  readonly restarts: number;
  /** What the driver has counted, by its own names. */
  readonly statistics: Readonly<Record<string, number>>;
  /** Where the driver runs, in figures. */
  readonly host: HostDescription;
  /** The lanes between client and driver. */
  readonly lanes: readonly LaneDescription[];
  /** How often each interrupt of the driver was heard since it was started; the last is what the core passed on. */
  readonly interruptCounts: readonly number[];
  /** The queues in use. */
  readonly queues: readonly QueueDescription[];
}

/** Where a driver runs, in figures. */
export interface HostDescription {
  /** How often it was started, the first time included. */
  readonly starts: number;
  /** Seconds since the last start; 0 while there is none. */
  readonly uptime: number;
  /** Bytes of its heap that are in use; of the whole program's, if it runs inline. */
  readonly heap: number;
  /** Seconds of processor time that its process has used; absent if it has none of its own. */
  readonly processor?: number;
  /** Bytes of memory that its process has in use, shared memory included. */
  readonly memory?: number;
}

/** A lane, in figures. */
export interface LaneDescription {
  /** Its name in the plan. */
  readonly name: string;
  /** Its slots. */
  readonly slots: number;
  /** Requests so far. */
  readonly submitted: number;
  /** Of these, those that have ended. */
  readonly ended: number;
  /** Those that have not. */
  readonly inFlight: number;
}

/** A queue in use. */
export type QueueDescription = BindingDescription["queues"][number] & Partial<QueueReport>;
