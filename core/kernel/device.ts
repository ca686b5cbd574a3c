import type { Clients } from "../class/clients.ts";
import type { QueueReport } from "../bus/message.ts";
import type { QueueKind } from "../virtqueue/layout.ts";
import type { DeviceClass } from "../plugin/manifest.ts";
import type { FeatureReport } from "../virtio/negotiate.ts";
import type { InterruptKind } from "./interrupt_kind.ts";
import type { Isolation } from "./driver_host.ts";

/** A device that its driver drives. Disposing it stops the driver and resets the device. */
export interface Device<C extends DeviceClass = DeviceClass> extends AsyncDisposable {
  /** PCI address. */
  readonly address: string;
  /** Name of the driver. */
  readonly driver: string;
  /** What it is to an application. */
  readonly class: C;
  /** What an application uses it through. */
  readonly client: Clients[C];
  /** Where the driver runs. */
  readonly isolation: Isolation;
  /** The driver's process, if it has one of its own; the latest one, if it was started anew. */
  readonly pid: number | undefined;
  /** Why nothing keeps the device from reaching all memory, if so. */
  readonly unsafeDma: string | undefined;
  /** Settles when the device is out of work: with the reason, or undefined if it was stopped in order. */
  readonly gone: Promise<string | undefined>;
  /** The state of device, driver and queues now, as plain data. */
  describe(): Promise<DeviceDescription>;
}

/** A device of whatever class: looking at its `class` tells the type of its `client`. */
export type AnyDevice = { [C in DeviceClass]: Device<C> }[DeviceClass];

/** A device at work, as plain data. */
export interface DeviceDescription {
  /** PCI address. */
  readonly address: string;
  /** Name of the driver. */
  readonly driver: string;
  /** What it is to an application. */
  readonly class: DeviceClass;
  /** Where the driver runs. */
  readonly isolation: Isolation;
  /** The driver's process. */
  readonly pid?: number;
  /** Names of the status bits that are set. */
  readonly status: readonly string[];
  /** How often it, or one of its queues, was started anew in the last minute. */
  readonly restarts: number;
  /** Feature sets in hexadecimal, and what became of each feature that was offered. */
  readonly features: {
    readonly offered: string;
    readonly accepted: string;
    readonly list: readonly FeatureReport[];
  };
  /** How the device tells that it is done. */
  readonly interrupts: InterruptKind;
  /** Which layout of registers is used. */
  readonly transport: "modern" | "legacy";
  /** What the driver has counted, by its own names. */
  readonly statistics: Readonly<Record<string, number>>;
  /** The queues in use. */
  readonly queues: readonly QueueDescription[];
}

/** A queue in use. */
export interface QueueDescription extends Partial<QueueReport> {
  /** Its name in the driver's plan. */
  readonly name: string;
  /** Its index on the device. */
  readonly index: number;
  /** Which kind of ring. */
  readonly kind: QueueKind;
  /** Entries. */
  readonly size: number;
  /** MSI-X vector, unless it is polled. */
  readonly vector?: number;
}
