import { addressTable } from "../core/dma/address_table.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY } from "../core/pci/config_space.ts";
import { type Registers, subRegisters } from "../core/pci/registers.ts";
import { DeviceStatus } from "../core/virtio/status.ts";
import { makeDriverQueue } from "../core/virtqueue/driver_queue.ts";
import { layoutPacked, layoutSplit } from "../core/virtqueue/layout.ts";
import type { DriverQueue } from "../core/virtqueue/virtqueue.ts";
import { COMMON_BYTES, COMMON_FIELDS, type CommonField } from "./common_config.ts";
import {
  type DeviceModel,
  EVENT_IDX,
  IN_ORDER,
  INDIRECT_DESC,
  NOTIF_CONFIG_DATA,
  NOTIFICATION_DATA,
  RING_PACKED,
  VERSION_1,
} from "./model.ts";
import { SimulatedFunction } from "./pci_function.ts";
import { VirtioFunction } from "./virtio_pci.ts";

/** A simulated device with a driver's hands on it, for the tests beside. */
export class TestMachine {
  readonly memory = new SharedArrayBuffer(65536);
  /** The low half of the device's addresses overflows at offset 0x5000. */
  readonly runs = [{ address: 0x2_0000_0000 - 0x5000, length: 65536 }];
  readonly device: SimulatedFunction;
  readonly common: Registers;
  /** Vectors that were signalled, in order. */
  readonly interrupts: number[] = [];
  /** What the interrupt pin did. */
  readonly pins: boolean[] = [];
  /** Why the device needed a reset. */
  readonly failures: Error[] = [];

  constructor(model: DeviceModel) {
    this.device = new SimulatedFunction(new VirtioFunction(model), {
      interrupt: (vector) => this.interrupts.push(vector),
      pin: (asserted) => this.pins.push(asserted),
      failed: (error) => this.failures.push(error),
    });
    this.device.memory.add(this.memory, this.runs);
    this.device.config.write16(COMMAND, COMMAND_MEMORY | COMMAND_BUS_MASTER);
    this.device.signalBy("msix");
    this.common = subRegisters(this.device.bar(4)!, 0, COMMON_BYTES);
  }

  read(field: CommonField): number {
    const [offset, width] = COMMON_FIELDS[field];
    if (width === 1) return this.common.read8(offset);
    return width === 2 ? this.common.read16(offset) : this.common.read32(offset);
  }

  write(field: CommonField, value: number): void {
    const [offset, width] = COMMON_FIELDS[field];
    if (width === 1) this.common.write8(offset, value);
    else if (width === 2) this.common.write16(offset, value);
    else this.common.write32(offset, value);
  }

  /** All features that are offered. */
  offered(): bigint {
    let features = 0n;
    for (let word = 0; word < 4; word++) {
      this.write("device_feature_select", word);
      features |= BigInt(this.read("device_feature")) << BigInt(32 * word);
    }
    return features;
  }

  /** The handshake up to FEATURES_OK. Returns the status that can be read then. */
  agree(features: bigint): number {
    const { ACKNOWLEDGE, DRIVER, FEATURES_OK } = DeviceStatus;
    this.write("device_status", 0);
    this.write("device_status", ACKNOWLEDGE);
    this.write("device_status", ACKNOWLEDGE | DRIVER);
    for (let word = 0; word < 4; word++) {
      this.write("driver_feature_select", word);
      this.write("driver_feature", Number(features >> BigInt(32 * word) & 0xffffffffn));
    }
    this.write("device_status", ACKNOWLEDGE | DRIVER | FEATURES_OK);
    return this.read("device_status");
  }

  /** Writes the three addresses of the selected queue: descriptors at `offset` in the memory, and so on. */
  place(descriptors: number, driver: number, device: number): void {
    const places = { queue_desc: descriptors, queue_driver: driver, queue_device: device };
    for (const [field, offset] of Object.entries(places)) {
      const address = this.runs[0]!.address + offset;
      this.write(`${field}_low` as CommonField, address % 2 ** 32);
      this.write(`${field}_high` as CommonField, Math.floor(address / 2 ** 32));
    }
  }

  /** The whole way to DRIVER_OK, with one queue. */
  start(size: number, features = VERSION_1): DriverQueue {
    const driver = this.prepare(size, features);
    this.write("device_status", this.read("device_status") | DeviceStatus.DRIVER_OK);
    return driver;
  }

  /** All of it but DRIVER_OK. */
  prepare(size: number, features = VERSION_1): DriverQueue {
    this.agree(features);
    return this.enable(size, features);
  }

  /** Sets a queue up, and notifies it as it was agreed. */
  enable(size: number, features = VERSION_1, index = 0): DriverQueue {
    const lay = features & RING_PACKED ? layoutPacked : layoutSplit;
    const layout = lay(index * 0x8000, size, features & INDIRECT_DESC ? 4 : 0);
    new Uint8Array(this.memory).fill(0, layout.descriptors, layout.end);
    this.write("queue_select", index);
    this.write("queue_size", size);
    this.place(layout.descriptors, layout.driver, layout.device);
    this.write("config_msix_vector", 0);
    this.write("queue_msix_vector", 1);
    const name = features & NOTIF_CONFIG_DATA ? this.read("queue_notif_config_data") : index;
    const offset = NOTIFY + 4 * index;
    const bar = this.device.bar(4)!;
    this.write("queue_enable", 1);
    return makeDriverQueue({
      memory: this.memory,
      layout,
      addresses: addressTable(this.runs),
      eventIndex: (features & EVENT_IDX) !== 0n,
      inOrder: (features & IN_ORDER) !== 0n,
      notify: (data) => {
        if (features & NOTIFICATION_DATA) bar.write32(offset, (data & 0xffff0000 | name) >>> 0);
        else bar.write16(offset, name);
      },
    });
  }

  /** Lets the device look at its queues as if it was notified. */
  look(): boolean {
    this.device.missed();
    return this.device.process();
  }
}

/** Offset of the notification registers in the virtio BAR. */
const NOTIFY = 0x3000;
