import { addressTable } from "../dma/address_table.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY } from "../pci/config_space.ts";
import { type Registers, subRegisters } from "../pci/registers.ts";
import { bit, Feature } from "../virtio/features.ts";
import { DeviceStatus } from "../virtio/status.ts";
import { layoutSplit } from "../virtqueue/layout.ts";
import { SplitDriver } from "../virtqueue/split_driver.ts";
import { COMMON_BYTES, COMMON_FIELDS, type CommonField } from "./common_config.ts";
import type { DeviceModel } from "./model.ts";
import { PciDevice } from "./pci_device.ts";

/** A simulated device with a driver's hands on it, for the tests beside. */
export class TestMachine {
  readonly memory = new SharedArrayBuffer(65536);
  /** The low half of the device's addresses overflows at offset 0x5000. */
  readonly runs = [{ address: 0x2_0000_0000 - 0x5000, length: 65536 }];
  readonly device: PciDevice;
  readonly common: Registers;
  /** Vectors that were signalled, in order. */
  readonly interrupts: number[] = [];
  /** Why the device needed a reset. */
  readonly failures: Error[] = [];

  constructor(model: DeviceModel) {
    this.device = new PciDevice(model, {
      interrupt: (vector) => this.interrupts.push(vector),
      failed: (error) => this.failures.push(error),
    });
    this.device.memory.add(this.memory, this.runs);
    this.device.config.write16(COMMAND, COMMAND_MEMORY | COMMAND_BUS_MASTER);
    this.device.enableMsix(true);
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
  start(size: number, features = bit(Feature.VERSION_1)): SplitDriver {
    const driver = this.prepare(size, features);
    this.write("device_status", this.read("device_status") | DeviceStatus.DRIVER_OK);
    return driver;
  }

  /** All of it but DRIVER_OK. */
  prepare(size: number, features = bit(Feature.VERSION_1)): SplitDriver {
    this.agree(features);
    const layout = layoutSplit(0, size, 0);
    this.write("queue_select", 0);
    this.write("queue_size", size);
    this.place(layout.descriptors, layout.driver, layout.device);
    this.write("config_msix_vector", 0);
    this.write("queue_msix_vector", 1);
    this.write("queue_enable", 1);
    return new SplitDriver({
      memory: this.memory,
      layout,
      addresses: addressTable(this.runs),
      eventIndex: (features & bit(Feature.EVENT_IDX)) !== 0n,
      notify: () => this.device.process(),
    });
  }
}
