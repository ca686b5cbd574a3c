import { type Registers, subRegisters, writeWidth } from "../pci/registers.ts";
import type { OpenFunction } from "../pci/function.ts";
import { findStructures } from "./capabilities.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import { Feature, has } from "./features.ts";
import { readFields } from "./fields.ts";
import { statusField } from "./status_field.ts";
import { QUEUE_RESET_DEADLINE, type SeeRegisters, type Transport } from "./transport.ts";
import { until } from "./until.ts";

// The common configuration structure (virtio 1.4, 4.1.4.3).
const DEVICE_FEATURE_SELECT = 0x00;
const DEVICE_FEATURE = 0x04;
const DRIVER_FEATURE_SELECT = 0x08;
const DRIVER_FEATURE = 0x0c;
const CONFIG_MSIX_VECTOR = 0x10;
const NUM_QUEUES = 0x12;
const DEVICE_STATUS = 0x14;
const CONFIG_GENERATION = 0x15;
const QUEUE_SELECT = 0x16;
const QUEUE_SIZE = 0x18;
const QUEUE_MSIX_VECTOR = 0x1a;
const QUEUE_ENABLE = 0x1c;
const QUEUE_NOTIFY_OFF = 0x1e;
const QUEUE_DESC = 0x20;
const QUEUE_DRIVER = 0x28;
const QUEUE_DEVICE = 0x30;
const QUEUE_RESET = 0x3a;

const FEATURE_WORDS = 4;
/** No device type has a configuration that comes near this. */
const MOST_CONFIG_BYTES = 1024;
const GENERATION_TRIES = 10;
const MOST_QUEUES = 1024;

/**
 * The modern PCI transport of a function that was taken (virtio 1.4, 4.1).
 *
 * @param see Gets each structure's registers, and gives those that are used.
 * @throws DeviceFault If its capabilities cannot be true.
 */
export function modernTransport(
  device: OpenFunction,
  see: SeeRegisters = (_, registers) => registers,
): Transport {
  const structures = findStructures(device.config, (bar) => device.bar(bar)?.size);
  const window = ({ bar, offset, length }: typeof structures.common): Registers =>
    subRegisters(device.bar(bar)!, offset, length);
  const common = see("common", window(structures.common));
  const specific = structures.device && see(
    "device",
    window({
      ...structures.device,
      length: Math.min(structures.device.length, MOST_CONFIG_BYTES),
    }),
  );

  const isr = see("isr", window(structures.isr));
  let queues = countQueues();

  function countQueues(): number {
    const count = common.read16(NUM_QUEUES);
    if (count > 0 && count <= MOST_QUEUES) return count;
    throw new DeviceFault("D-31", `The device says that it has ${count} virtqueues`);
  }

  const select = (index: number) => {
    if (index >= queues) {
      throw new RangeError(`Cannot select queue ${index}: the device has ${queues}`);
    }
    common.write16(QUEUE_SELECT, index);
  };
  const write64 = (offset: number, value: number) => {
    common.write32(offset, value % 2 ** 32);
    common.write32(offset + 4, Math.floor(value / 2 ** 32));
  };

  return {
    kind: "modern",
    get queues() {
      return queues;
    },
    resizable: true,
    ...statusField(common, DEVICE_STATUS),

    offeredFeatures() {
      let features = 0n;
      for (let word = 0; word < FEATURE_WORDS; word++) {
        common.write32(DEVICE_FEATURE_SELECT, word);
        features |= BigInt(common.read32(DEVICE_FEATURE)) << BigInt(32 * word);
      }
      return features;
    },

    acceptFeatures(features) {
      for (let word = 0; word < FEATURE_WORDS; word++) {
        common.write32(DRIVER_FEATURE_SELECT, word);
        common.write32(DRIVER_FEATURE, Number(features >> BigInt(32 * word) & 0xffffffffn));
      }
      queues = countQueues();
    },

    config(widths) {
      const bytes = new Uint8Array(specific?.size ?? 0);
      for (let tries = 0; tries < GENERATION_TRIES; tries++) {
        const before = common.read8(CONFIG_GENERATION);
        if (specific) readFields(specific, widths, bytes);
        if (common.read8(CONFIG_GENERATION) === before) return bytes;
      }
      throw new DeviceFault(
        "D-37",
        `The device's configuration changed during each of ${GENERATION_TRIES} reads (virtio 1.4, 2.5.1)`,
      );
    },

    writeConfig(offset, width, value) {
      if (!specific) {
        throw new DeviceFault("D-40", "The device has no configuration that could be written");
      }
      writeWidth(specific, offset, width, value);
    },

    queueMaximum(index) {
      select(index);
      return common.read16(QUEUE_SIZE);
    },

    enableQueue(index, queue) {
      select(index);
      if (common.read16(QUEUE_ENABLE) !== 0) {
        throw new DeviceFault("D-36", `Queue ${index} is enabled before the driver enabled it`);
      }
      common.write16(QUEUE_SIZE, queue.size);
      if (common.read16(QUEUE_SIZE) !== queue.size) {
        throw new DeviceFault("D-35", `Queue ${index} does not take the size ${queue.size}`);
      }
      write64(QUEUE_DESC, queue.descriptors);
      write64(QUEUE_DRIVER, queue.driver);
      write64(QUEUE_DEVICE, queue.device);
      common.write16(QUEUE_ENABLE, 1);
      if (common.read16(QUEUE_ENABLE) !== 1) {
        throw new DeviceFault("D-36", `Queue ${index} does not let itself be enabled`);
      }
    },

    async resetQueue(index, deadline = QUEUE_RESET_DEADLINE) {
      if (common.size < QUEUE_RESET + 2) {
        throw new DeviceFault("D-10", "The common configuration is too short to reset a queue");
      }
      select(index);
      common.write16(QUEUE_RESET, 1);
      const done = () => {
        select(index);
        return common.read16(QUEUE_RESET) === 0;
      };
      await until(
        done,
        deadline,
        () =>
          new DeviceFault(
            "D-24",
            `Queue ${index} did not finish its reset within ${deadline} ms`,
          ),
      );
      if (common.read16(QUEUE_ENABLE) !== 0) {
        throw new DeviceFault("D-36", `Queue ${index} is still enabled after its reset`);
      }
    },

    doorbell(index, features) {
      select(index);
      const offset = common.read16(QUEUE_NOTIFY_OFF) * structures.notifyMultiplier;
      const width = has(features, Feature.NOTIFICATION_DATA) ? 4 : 2;
      if (offset + width > structures.notify.length) {
        throw new DeviceFault(
          "D-13",
          `Queue ${index} is notified at byte ${offset} of a notification structure of ` +
            `${structures.notify.length}`,
        );
      }
      const { bar, offset: start } = structures.notify;
      return device.doorbell(bar, start + offset, index, width);
    },

    interruptStatus: () => isr.read8(0),

    setQueueVector(index, vector) {
      select(index);
      common.write16(QUEUE_MSIX_VECTOR, vector);
      return common.read16(QUEUE_MSIX_VECTOR) === vector;
    },

    setConfigVector(vector) {
      common.write16(CONFIG_MSIX_VECTOR, vector);
      return common.read16(CONFIG_MSIX_VECTOR) === vector;
    },
  };
}
