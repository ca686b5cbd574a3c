import type { DeviceQueue } from "../core/virtqueue/device_queue.ts";
import type { CommonField } from "./common_config.ts";
import type { Ring } from "./ring.ts";

/**
 * One rule that a simulated device breaks: hooks into an honest device, each of them optional. Several lies are
 * applied one after the other. A lie may keep state and so belongs to one device.
 */
export interface Lie {
  /** Its number in the catalogue of hostile devices, for example `"D-41"`. */
  readonly id: string;
  /** What the device does, as a sentence without its subject: `"uses a descriptor that does not exist"`. */
  readonly does: string;
  /** Where the specification speaks of it: `"2.7.8"` of VirtIO 1.4, `"PCI 6.7"` of PCI 3.0. */
  readonly section?: string;
  /** Features of the machine that the device must offer so that it can lie; none if absent. */
  readonly with?: bigint;
  /** Features that it must not offer; none if absent. */
  readonly without?: bigint;
  /** Whether its first MSI-X interrupt on each vector never ends (D-67). */
  readonly storms?: boolean;

  /** Called once, when the machine is made. */
  attach?(device: LieHandle): void;
  /** Changes the PCI configuration space when the machine is made. */
  config?(space: DataView<ArrayBuffer>, at: CapabilityOffsets): void;
  /** What the PCI configuration space reads as at `offset`, instead of `value`. */
  readConfig?(offset: number, value: number): number;
  /**
   * Whether the device is gone. Asked at each access to its registers: all of them then read as all ones, and the
   * device does nothing any more.
   */
  gone?(): boolean;
  /** The features to show instead of `offered`. Asked at every read of a feature word. */
  features?(offered: bigint): bigint;
  /** What a field of the common configuration reads as, instead of `value`. */
  read?(field: CommonField, value: number): number;
  /** What arrives when the driver writes `value` to a field of the common configuration. */
  write?(field: CommonField, value: number): number;
  /** What the ISR status reads as, instead of `value`. */
  isr?(value: number): number;
  /** What the device-specific configuration reads as, instead of `bytes`; of the same length. */
  deviceConfig?(bytes: Uint8Array): Uint8Array;
  /** The largest size that queue number `queue` is said to have. */
  queueSize?(queue: number, largest: number): number;
  /** Stands between the device and a ring that was enabled; `ring` says where the ring lies. */
  queue?(honest: DeviceQueue, ring: Ring): DeviceQueue;
  /** Stands in the way of an interrupt; the honest thing is to `send(vector)` once. */
  interrupt?(vector: number, send: (vector: number) => void): void;
}

/** What a lie may do to its device, out of turn. */
export interface LieHandle {
  /** Sends an MSI-X interrupt, whatever the state of the device. */
  interrupt(vector: number): void;
  /** Sets DEVICE_NEEDS_RESET. */
  needsReset(why: string): void;
  /** Resets the device without being asked. The core is not told (D-76). */
  forget(): void;
  /** Makes it look at all its queues. */
  look(): void;
  /** Calls `act` after some milliseconds, unless the function is closed before. */
  later(ms: number, act: () => void): void;
}

/** Where the capabilities start in the configuration space of a simulated function; 0 where one is missing. */
export interface CapabilityOffsets {
  /** Common configuration (virtio 1.4, 4.1.4.3). */
  readonly common: number;
  /** Notifications (4.1.4.4). */
  readonly notify: number;
  /** ISR status (4.1.4.5). */
  readonly isr: number;
  /** Device-specific configuration (4.1.4.6). */
  readonly device: number;
  /** Access by the PCI configuration space (4.1.4.9). */
  readonly pci: number;
  /** MSI-X. */
  readonly msix: number;
  /** The first byte behind them: the rest of the space is free. */
  readonly end: number;
}
