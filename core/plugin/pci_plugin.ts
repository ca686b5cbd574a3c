// What the author of a driver for another PCI device writes, and is given.

import type { DriverLane } from "../bus/driver_lane.ts";
import type { PciIdentity } from "../pci/identity.ts";
import {
  type Buffer,
  type Decline,
  type Driver,
  handOver,
  type LanePlan,
  type Plugin,
  type Properties,
} from "./plugin.ts";
import type { Tunables } from "./tunables.ts";

/** What a PCI device that is no VirtIO device offers: all that a driver may know before it decides. */
export interface PciOffer {
  /** What the function says that it is. */
  readonly identity: PciIdentity;
  /** How many interrupts it can send: those that `plugin.json` asks for, or fewer. With none it is polled. */
  readonly vectors: number;
  /** What the user chose of what `plugin.json` lets him choose; the usual values for the rest. */
  readonly tunables: Tunables;
}

/** What a driver wants of a PCI device. */
export interface PciPlan<L extends string, B extends string> {
  /** Its lanes, by the names that the class of the device knows. */
  readonly lanes: { readonly [Name in L]: LanePlan };
  /** Memory of its own that the device reaches: bytes, by names of its own, each on pages of its own. */
  readonly buffers?: { readonly [Name in B]: number };
  /**
   * What the class tells its clients about the device. A driver that must ask the device first leaves it out, and tells it
   * while it starts, by {@linkcode PciDevice.setProperties}: clients see nothing before.
   */
  readonly properties?: Properties;
}

/**
 * A window of device registers, which `plugin.json` names. One call is one access of exactly that width, little-endian.
 * Offsets are multiples of the width and inside the window; anything else throws a `RangeError`.
 */
export interface RegisterWindow {
  /** Length in bytes. */
  readonly size: number;
  /** Reads 8 bits. */
  read8(offset: number): number;
  /** Reads 16 bits. */
  read16(offset: number): number;
  /** Reads 32 bits, unsigned. */
  read32(offset: number): number;
  /** Writes 8 bits. */
  write8(offset: number, value: number): void;
  /** Writes 16 bits. */
  write16(offset: number, value: number): void;
  /** Writes 32 bits. */
  write32(offset: number, value: number): void;
}

/**
 * What a driver holds of its PCI device, once the core has granted its plan. From here on the device may master the bus: what
 * a driver before this one has left at work in it must be stopped first.
 */
export interface PciDevice<L extends string, B extends string> {
  /** The windows of registers that `plugin.json` names. */
  readonly registers: Readonly<Record<string, RegisterWindow>>;
  /** The planned lanes. */
  readonly lanes: { readonly [Name in L]: DriverLane };
  /** The planned memory. */
  readonly buffers: { readonly [Name in B]: Buffer };
  /** As in the offer. */
  readonly vectors: number;
  /** As in the offer. */
  readonly tunables: Tunables;
  /**
   * Where the device finds a byte of the arena: what a driver writes into descriptors. A buffer lies whole at addresses one
   * after the other; the data of a lane's slot may be cut at multiples of 4096.
   *
   * @param offset A place in the arena: of a buffer, or of a lane's slot.
   */
  address(offset: number): number;
  /** Tells the clients new properties of the device. */
  setProperties(properties: Properties): void;
}

/** A driver of a PCI device at work. */
export type PciDriver = Pick<Driver, "rung" | "statistics" | "stop">;

/** A driver of a PCI device that is no VirtIO device, as a plugin: `"bus": "pci"` in its `plugin.json`. */
export interface PciPlugin<L extends string = string, B extends string = string> {
  /** Answers an offer. It must not do anything else: it may be asked again. */
  plan(offer: PciOffer): PciPlan<L, B> | Decline;
  /** Takes a granted device. What it needs at run time it allocates here, once. */
  start(device: PciDevice<L, B>): PciDriver;
}

/** A {@linkcode PciPlugin} that was defined. */
export interface DefinedPciPlugin extends PciPlugin {
  /** What kind of devices it drives. */
  readonly bus: "pci";
}

/** A plugin for either kind of device. */
export type AnyPlugin = Plugin | DefinedPciPlugin;

/**
 * Makes a driver of a PCI device of `plan` and `start`, as `definePlugin` does for VirtIO devices.
 *
 * @example
 * ```ts
 * import { type DefinedPciPlugin, definePciPlugin } from "@virtio/deno/plugin";
 *
 * const plugin: DefinedPciPlugin = definePciPlugin({
 *   plan: () => ({ lanes: { requests: { slots: 1, slotBytes: 4 } } }),
 *   start: ({ registers, lanes: { requests } }) => ({
 *     rung() {
 *       requests.take((slot) => {
 *         requests.complete(slot, 0, registers.control!.read32(0));
 *         return true;
 *       });
 *     },
 *   }),
 * });
 * export default plugin;
 * ```
 */
export function definePciPlugin<const L extends string, const B extends string = never>(
  plugin: PciPlugin<L, B>,
): DefinedPciPlugin {
  // Names only matter while the driver is written: the core knows them as strings.
  const given = plugin as unknown as PciPlugin;
  return handOver<DefinedPciPlugin>({
    bus: "pci",
    plan: (offer) => given.plan(offer),
    start: (device) => given.start(device),
  });
}
