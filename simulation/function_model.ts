import type { Registers, Width } from "../core/pci/registers.ts";
import type { BusMemory } from "./device_memory.ts";

/**
 * A PCI function in software that is no VirtIO device. The simulated machine plays configuration space, interrupts and
 * memory around it; what is left for the author is its registers and what it does.
 *
 * @example A device that adds what is written to it, and interrupts
 * ```ts
 * import type { FunctionHandle, FunctionModel } from "@virtio/deno/simulation";
 *
 * function adder(): FunctionModel {
 *   let device: FunctionHandle;
 *   let sum = 0;
 *   return {
 *     vendor: 0x1234,
 *     device: 0x0001,
 *     bars: { 0: { bytes: 4096 } },
 *     msi: 1,
 *     attach: (handle) => device = handle,
 *     read: (_bar, offset) => offset === 0 ? sum : 0,
 *     write(_bar, _offset, _width, value) {
 *       sum += value;
 *       device.interrupt(0);
 *     },
 *     reset: () => sum = 0,
 *   };
 * }
 * ```
 */
export interface FunctionModel {
  /** Vendor id, 16 bits. */
  readonly vendor: number;
  /** Device id, 16 bits. */
  readonly device: number;
  /** Subsystem vendor id, 16 bits; 0 if absent. */
  readonly subsystemVendor?: number;
  /** Subsystem id, 16 bits; 0 if absent. */
  readonly subsystem?: number;
  /** PCI class, subclass and interface, for example `0x010802`; "unclassified" if absent. */
  readonly classCode?: number;
  /** Revision, 8 bits; 0 if absent. */
  readonly revision?: number;
  /** Its BARs by number, 0 to 5. */
  readonly bars: { readonly [index: number]: BarModel };
  /** Capabilities besides those below; they come before them, from 0x40 on, each at a multiple of 4. */
  readonly capabilities?: readonly CapabilityModel[];
  /** Its MSI-X table; it has none if absent. */
  readonly msix?: MsixModel;
  /** How many interrupts it may send by MSI: a power of two to 32; it has no MSI if absent. */
  readonly msi?: number;
  /** Whether it has an interrupt pin, used while neither MSI-X nor MSI is on; true if absent. */
  readonly pin?: boolean;
  /** Whether it can be reset alone (PCI Express, 6.6.2: Function Level Reset); false if absent. */
  readonly flr?: boolean;
  /** Whether the first interrupt on each vector never ends, for tests; false if absent. */
  readonly storms?: boolean;

  /** Called once, when the machine is made. */
  attach?(device: FunctionHandle): void;
  /**
   * The driver reads a register.
   *
   * @param offset In the BAR: inside it, and a multiple of `width`, which is 1, 2 or 4.
   * @returns Its value; what is wider than `width` is cut off.
   */
  read(bar: number, offset: number, width: Width): number;
  /**
   * The driver writes a register. What takes long, or many steps, belongs into {@linkcode process}.
   *
   * @throws {DriverFault} If the driver broke the rules: an error of the bus, as any other error, and the device goes on.
   *   A device that can tell its driver does that instead.
   */
  write(bar: number, offset: number, width: Width, value: number): void;
  /**
   * Called after the driver wrote registers: one, or several that arrived together. Does what there is to do.
   *
   * @returns Whether there is more: then it is called again soon, and others have their turn before.
   */
  process?(): boolean;
  /** Writes to doorbells that a driver's process made may have been lost, since there were too many. */
  missed?(): void;
  /** The function is reset as a whole: what the driver did is forgotten. */
  reset?(): void;
  /** What the configuration space reads as at `offset`, instead of `value`. */
  readConfig?(offset: number, width: Width, value: number): number;
  /** The driver wrote the configuration space at `offset`. */
  wroteConfig?(offset: number, width: Width): void;
  /** Whether it is gone, for tests. Asked at each access: all registers then read as all ones, and it does nothing more. */
  gone?(): boolean;
}

/** A BAR of a simulated function. */
export interface BarModel {
  /** Its size: a power of two, at most 32 MiB. */
  readonly bytes: number;
  /** What it is: memory with an address of 32 or 64 bits, or I/O ports; `"memory"` if absent. One of 64 bits takes two numbers. */
  readonly kind?: "memory" | "memory64" | "ports";
  /** Whether reads have no side effects; false if absent. */
  readonly prefetchable?: boolean;
}

/** Where a simulated function has its MSI-X table; its pending bits follow (PCI 3.0, 6.8.2). */
export interface MsixModel {
  /** How many vectors: 1 to 2048. */
  readonly vectors: number;
  /** The BAR that it is in: one of the model's, or another that holds nothing else. */
  readonly bar: number;
  /** Where in the BAR: a multiple of 8; 0 if absent. */
  readonly offset?: number;
}

/** A capability in the configuration space of a simulated function. */
export interface CapabilityModel {
  /** What it is (PCI 3.0, appendix H). */
  readonly id: number;
  /** What follows its id and the pointer to the next. */
  readonly bytes: Uint8Array;
  /** The bits of those bytes that the driver can change; none if absent. */
  readonly changeable?: Uint8Array;
}

/** What a model may ask of the machine that it is in. */
export interface FunctionHandle {
  /** The driver's memory. */
  readonly memory: BusMemory;
  /** What the driver has turned on to be interrupted. */
  readonly signals: "msix" | "msi" | "pin";
  /** Whether it may read and write memory, and send message-signalled interrupts. */
  readonly mayMaster: boolean;
  /** Its configuration space, as it is. */
  readonly space: DataView<ArrayBuffer>;
  /** Its own registers as the driver reaches them; undefined if it has no such BAR. */
  bar(index: number): Registers | undefined;
  /**
   * Sends interrupt `vector`, by MSI-X or MSI: once, and later if that vector is masked. Nothing while both are off: so a
   * model that has a pin, too, calls this and {@linkcode pin}, and the driver hears one of them.
   */
  interrupt(vector: number): void;
  /** Asserts the interrupt pin, or does so no more. Nothing is to be seen of it while MSI-X or MSI is on. */
  pin(asserted: boolean): void;
  /** Calls `act` after some milliseconds, unless the function is reset or closed before. */
  later(ms: number, act: () => void): void;
  /** Reports what went wrong: a {@linkcode DriverFault} if the driver broke a rule. */
  failed(error: Error): void;
}
