import type { DeviceQueue } from "../virtqueue/device_queue.ts";
import type { SplitDeviceOptions } from "../virtqueue/split_device.ts";
import type { CommonField } from "./common_config.ts";

/**
 * One rule that a simulated device breaks: hooks into an honest device, each of them optional. Several lies are
 * applied one after the other. A lie may keep state and so belongs to one device.
 */
export interface Lie {
  /** Its number in the catalogue of hostile devices, for example `"D-41"`. */
  readonly id: string;
  /** What the device does, as a sentence without its subject: `"uses a descriptor that does not exist"`. */
  readonly does: string;
  /** Changes the PCI configuration space when the machine is made. */
  config?(space: DataView<ArrayBuffer>, at: CapabilityOffsets): void;
  /** The features to show instead of `offered`. Asked at every read of a feature word. */
  features?(offered: bigint): bigint;
  /** What a field of the common configuration reads as, instead of `value`. */
  read?(field: CommonField, value: number): number;
  /** What arrives when the driver writes `value` to a field of the common configuration. */
  write?(field: CommonField, value: number): number;
  /** The largest size that queue number `queue` is said to have. */
  queueSize?(queue: number, largest: number): number;
  /** Stands between the device and a ring that was enabled; `ring` says where the ring lies. */
  queue?(honest: DeviceQueue, ring: SplitDeviceOptions): DeviceQueue;
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
}
