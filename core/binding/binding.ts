import type { FromDriver, Grant, ToDriver, WireOffer, WirePlan } from "../bus/message.ts";
import type { InterruptLoop } from "../irq/interrupt_loop.ts";
import type {
  DevicePages,
  DmaMemory,
  Doorbell,
  OpenFunction,
  PciFunction,
} from "../pci/function.ts";
import type { Registers } from "../pci/registers.ts";
import type { Manifest } from "../plugin/manifest.ts";
import type { Tunables } from "../plugin/tunables.ts";
import type { DeviceTrace } from "../trace/trace.ts";
import type { FeatureReport } from "../virtio/negotiate.ts";
import type { QueueKind } from "../virtqueue/layout.ts";
import type { InterruptKind } from "./interrupt_kind.ts";

/**
 * How one kind of device is brought up and down: all that the kernel knows of it. The kernel calls `begin`, `memory`,
 * `host`, `offer`, `accept` and `live` in this order at each start of device and driver, and `quiet` before it takes
 * anything from under them.
 */
export interface Binding extends Disposable {
  /** The function, which was taken. */
  readonly device: OpenFunction;
  /** Rules that a device may break while it is started the first time, and be started again. */
  readonly forgives: readonly string[];
  /**
   * Brings the device to where its driver may be asked what it wants of it.
   *
   * @param ended Aborted when the device is no longer wanted.
   * @throws DeviceFault If it breaks a rule.
   */
  begin(ended: AbortSignal): Promise<void>;
  /** Takes memory that the device reaches, at least so many bytes; asked for once. */
  memory(bytes: number): DmaMemory;
  /** What a driver's host is started with. */
  host(): HostPart;
  /** What the driver is told of the device, and answers with a plan. */
  offer(): WireOffer;
  /**
   * Checks the driver's plan, and sets the device up for it.
   *
   * @throws PlanError If the driver wants what it cannot have.
   * @throws DeviceFault If the device does not take it.
   */
  accept(plan: WirePlan, arena: Arena): Promise<Accepted>;
  /**
   * Lets the device work.
   *
   * @throws DeviceFault If it does not.
   */
  live(): void | Promise<void>;
  /** Takes a message of the driver's that concerns this kind of device only. Returns whether it was one. */
  hear(message: FromDriver): boolean;
  /** The driver has answered an interrupt, where its grant says that it must tell. Returns whether there was one. */
  answered?(): boolean;
  /**
   * Looks at a device at work: asked for right after the driver was told to go, and again and again from then on.
   *
   * @throws DeviceFault If it needs help.
   */
  check(): void;
  /**
   * Stops the device: when this has settled, it reaches no memory any more.
   *
   * @throws If that is not certain.
   */
  quiet(): Promise<void>;
  /** Tells the device that it is given up. */
  giveUp(): void;
  /** Its state, for people. */
  describe(): BindingDescription;
}

/** What a binding is made of. */
export interface BindingOptions {
  /** The function; taken here. */
  readonly function: PciFunction;
  /** The kernel's loop. */
  readonly loop: InterruptLoop;
  /** What the driver says of itself. */
  readonly manifest: Manifest;
  /** Features of ring and transport that stay unused, even if they are offered. */
  readonly without: bigint;
  /** The best kind of interrupt to use. */
  readonly interrupts: InterruptKind;
  /** Whether to use the legacy registers of a transitional device. */
  readonly legacy: boolean;
  /** What the user chose for the driver, and the usual values for the rest. */
  readonly tunables: Tunables;
  /** The driver. */
  readonly driver: DriverPort;
  /** How long the device is waited for. */
  readonly patience: DevicePatience;
  /** Takes what happens, if that is wanted. */
  readonly trace?: DeviceTrace | undefined;
}

/** How long a device is waited for, in milliseconds. */
export interface DevicePatience {
  /** Until it has reset itself. */
  readonly reset: number;
  /** Until it has reset one queue. */
  readonly queueReset: number;
  /** Until its driver has taken back what such a queue held. */
  readonly emptied: number;
}

/** The driver of a device, as its binding sees it. */
export interface DriverPort {
  /** Sends it a message. */
  send(message: ToDriver): void;
  /**
   * Waits for its answer.
   *
   * @param deadline Milliseconds.
   * @throws DriverGone If it does not come in time.
   */
  expect<T extends FromDriver["type"]>(
    deadline: number,
    ...types: T[]
  ): Promise<Extract<FromDriver, { type: T }>>;
  /** Device or driver broke a rule: both come down, and are started anew as often as they may be. */
  fail(error: Error): void;
  /** Takes one of the restarts that there are in a minute, for less than a whole one. Returns whether there was one. */
  mend(): boolean;
  /** Takes lines for people. */
  log(line: string): void;
}

/** Memory for driver and device, as a file and as the core sees it. */
export type Arena = DmaMemory & { readonly memory: SharedArrayBuffer };

/** What the host of a driver is started with, before the driver has said anything. */
export interface HostPart {
  /** The doorbells that it may ring. */
  readonly doorbells: readonly Doorbell[];
  /** Eventfds by which the device interrupts. */
  readonly vectors: readonly number[];
  /** Registers that it may use, by name; none if left out. */
  readonly registers?: Readonly<Record<string, GrantedRegisters>>;
}

/** A window of registers for a driver. */
export interface GrantedRegisters {
  /** The window, as the core has it. */
  readonly window: Registers;
  /** The pages that begin with it, for a process that maps them; if left out, it asks the core for each access. */
  readonly pages?: DevicePages;
  /** Whether they are doorbells: only the last value of each counts, and the driver does not wait until it is written. */
  readonly doorbells?: boolean;
}

/** A plan that can be, and where all of it is. */
export interface Accepted {
  /** The plan, cut down to what the device has. */
  readonly plan: WirePlan;
  /** What the driver is given. */
  readonly grant: Grant;
}

/** The state of a device, as plain data. */
export interface BindingDescription {
  /** Names of the status bits that are set. */
  readonly status: readonly string[];
  /** Feature sets in hexadecimal, and what became of each feature that was offered. */
  readonly features: {
    readonly offered: string;
    readonly accepted: string;
    readonly list: readonly FeatureReport[];
  };
  /** How the device tells that it is done. */
  readonly interrupts: InterruptKind | "msi";
  /** Which layout of registers is used. */
  readonly transport: "modern" | "legacy" | "pci";
  /** Its virtqueues. */
  readonly queues: readonly {
    readonly name: string;
    readonly index: number;
    readonly kind: QueueKind;
    readonly size: number;
    readonly vector?: number;
  }[];
}
