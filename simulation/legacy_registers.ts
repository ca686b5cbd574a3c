// The registers of a legacy device (virtio 1.4, 4.1.4.10), from its side.

import { type Registers, type Width, window } from "../core/pci/registers.ts";
import { DESCRIPTOR_BYTES } from "../core/virtqueue/layout.ts";
import type { CommonField } from "./common_config.ts";

/** What the legacy registers need of the device behind them. */
export interface LegacyDevice {
  /** Reads and writes what the modern interface has as a field. */
  readField(field: CommonField): number;
  writeField(field: CommonField, value: number): void;
  /** From now until the next reset, the driver is a legacy one. */
  becomeLegacy(): void;
  /** Whether the device has MSI-X turned on, and so two registers more. */
  hasVectors(): boolean;
  /** Reads and so clears the ISR status. */
  readIsr(): number;
  /** The driver notified the device of a queue. */
  notify(queue: number): void;
  /** The device-specific configuration. */
  readConfig(offset: number, width: Width): number;
  writeConfig(offset: number, width: Width, value: number): void;
}

/** Bytes before the device-specific configuration, at most. */
export const LEGACY_BYTES = 0x18;
/** Where a write notifies the device of the queue that is written. */
export const LEGACY_NOTIFY = 0x10;

const QUEUE_ADDRESS = 0x08, ISR_STATUS = 0x13, CONFIG = 0x14;
const PAGE = 4096;

/** Registers that are modern fields by another address (virtio 1.4, 4.1.4.10), each with its width. */
const SAME: Readonly<Record<number, readonly [CommonField, Width]>> = {
  0x00: ["device_feature", 4],
  0x04: ["driver_feature", 4],
  0x0c: ["queue_size", 2],
  0x0e: ["queue_select", 2],
  0x12: ["device_status", 1],
};
/** Those that are there while MSI-X is on. */
const VECTORS: typeof SAME = {
  0x14: ["config_msix_vector", 2],
  0x16: ["queue_msix_vector", 2],
};
/** Legacy drivers have no say in the size of a queue. */
const READ_ONLY: readonly CommonField[] = ["device_feature", "queue_size"];

/** The legacy registers of a device, as they are in I/O BAR 0. */
export function legacyRegisters(device: LegacyDevice, size: number): Registers {
  /** There is no selector: the interface has the low 32 features. */
  const selectLow = () => {
    device.writeField("device_feature_select", 0);
    device.writeField("driver_feature_select", 0);
  };
  const config = () => device.hasVectors() ? LEGACY_BYTES : CONFIG;
  const field = (offset: number, width: Width) => {
    const found = SAME[offset] ?? (device.hasVectors() ? VECTORS[offset] : undefined);
    return found?.[1] === width ? found[0] : undefined;
  };
  return window(size, (offset, width) => {
    if (offset >= config()) return device.readConfig(offset - config(), width);
    if (offset === ISR_STATUS) return device.readIsr();
    if (offset === QUEUE_ADDRESS) return device.readField("queue_enable") && page(device);
    const name = field(offset, width);
    if (name?.endsWith("_feature")) selectLow();
    return name ? device.readField(name) : 0;
  }, (offset, width, value) => {
    if (offset >= config()) return device.writeConfig(offset - config(), width, value);
    if (offset === LEGACY_NOTIFY) return device.notify(value);
    device.becomeLegacy();
    if (offset === QUEUE_ADDRESS) return place(device, value);
    const name = field(offset, width);
    if (name?.endsWith("_feature")) selectLow();
    if (name && !READ_ONLY.includes(name)) device.writeField(name, value);
  });
}

function page(device: LegacyDevice): number {
  const low = device.readField("queue_desc_low");
  return (low + device.readField("queue_desc_high") * 2 ** 32) / PAGE;
}

/** Puts all of a queue at a page and enables it (2.7.2, 4.1.5.1.3.1); page 0 takes it away. */
function place(device: LegacyDevice, page: number): void {
  if (page === 0) return device.writeField("queue_reset", 1);
  const size = device.readField("queue_size");
  const descriptors = page * PAGE;
  const driver = descriptors + DESCRIPTOR_BYTES * size;
  const areas = {
    queue_desc: descriptors,
    queue_driver: driver,
    queue_device: Math.ceil((driver + 6 + 2 * size) / PAGE) * PAGE,
  } as const;
  for (const area of Object.keys(areas) as (keyof typeof areas)[]) {
    device.writeField(`${area}_low`, areas[area] % 2 ** 32);
    device.writeField(`${area}_high`, Math.floor(areas[area] / 2 ** 32));
  }
  device.writeField("queue_enable", 1);
}
