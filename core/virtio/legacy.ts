import { isIoBar } from "../pci/bars.ts";
import { isMsixEnabled } from "../pci/msix.ts";
import { type Registers, subRegisters, writeWidth } from "../pci/registers.ts";
import type { OpenFunction } from "../pci/function.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import { readFields } from "./fields.ts";
import { statusField } from "./status_field.ts";
import { NO_VECTOR, type QueueAddresses, type SeeRegisters, type Transport } from "./transport.ts";

// The legacy common configuration structure (virtio 1.4, 4.1.4.10).
const DEVICE_FEATURES = 0x00;
const DRIVER_FEATURES = 0x04;
const QUEUE_ADDRESS = 0x08;
const QUEUE_SIZE = 0x0c;
const QUEUE_SELECT = 0x0e;
const QUEUE_NOTIFY = 0x10;
const DEVICE_STATUS = 0x12;
const ISR_STATUS = 0x13;
// These two are there only while MSI-X is enabled; the device-specific configuration follows whatever is there.
const CONFIG_MSIX_VECTOR = 0x14;
const QUEUE_MSIX_VECTOR = 0x16;
const CONFIG = 0x14;
const CONFIG_WITH_MSIX = 0x18;

const BAR = 0;
/** Queues are aligned to pages of this size, and their addresses counted in them (4.1.5.1.3.1). */
const PAGE = 4096;
const CONFIG_TRIES = 10;
/** How many queues are looked for; a console with all its 31 ports has as many. */
const MOST_QUEUES = 64;

/**
 * The legacy PCI transport of a function that was taken: registers in I/O BAR 0, as transitional devices have them
 * besides the modern ones (virtio 1.4, 4.1.4.10). All numbers are in the byte order of the processor, which is little
 * endian wherever this program runs.
 *
 * @param see Gets the registers, and gives those that are used.
 * @throws DeviceFault If the function has no legacy registers, or no queue.
 * @throws If the machine had no room for them.
 */
export function legacyTransport(
  device: OpenFunction,
  see: SeeRegisters = (_, registers) => registers,
): Transport {
  const noRoom = isIoBar(device.config, BAR) ? device.noRoom?.(BAR) : undefined;
  if (noRoom) throw new Error(`Cannot reach the legacy registers of the device: ${noRoom}`);
  const bar = isIoBar(device.config, BAR) ? device.bar(BAR) : undefined;
  if (!bar || bar.size < CONFIG_WITH_MSIX) {
    throw new DeviceFault(
      "D-06",
      "The device has no legacy registers: its BAR 0 is no I/O BAR that holds them (virtio 1.4, 4.1.4.10)",
    );
  }
  const registers = see("legacy", bar);

  const select = (index: number) => registers.write16(QUEUE_SELECT, index);
  const hasVectors = () => isMsixEnabled(device.config);
  let queues = countQueues();
  if (queues === 0) throw new DeviceFault("D-31", "The device has no virtqueue 0");

  /** No register tells how many there are, only that the selected one is not there (4.1.5.1.3). */
  function countQueues(): number {
    for (let index = 0; index < MOST_QUEUES; index++) {
      select(index);
      if (registers.read16(QUEUE_SIZE) === 0) return index;
    }
    return MOST_QUEUES;
  }

  /** The device-specific configuration moves when MSI-X is switched (4.1.4.10). */
  function specific(): Registers {
    const start = hasVectors() ? CONFIG_WITH_MSIX : CONFIG;
    return subRegisters(registers, start, registers.size - start);
  }

  function check(index: number): void {
    if (index >= queues) {
      throw new RangeError(`Cannot select queue ${index}: the device has ${queues}`);
    }
  }

  /** Writes a vector and reads it back (4.1.5.1.2). Without MSI-X there is no register, and only no vector fits. */
  function takesVector(register: number, vector: number): boolean {
    if (!hasVectors()) return vector === NO_VECTOR;
    registers.write16(register, vector);
    return registers.read16(register) === vector;
  }

  return {
    kind: "legacy",
    get queues() {
      return queues;
    },
    resizable: false,
    ...statusField(registers, DEVICE_STATUS),

    offeredFeatures: () => BigInt(registers.read32(DEVICE_FEATURES)),

    acceptFeatures(features) {
      if (features >> 32n !== 0n) {
        throw new RangeError(
          `Cannot accept the features 0x${features.toString(16)}: a legacy device knows 32 bits ` +
            `(virtio 1.4, 4.1.4.10)`,
        );
      }
      registers.write32(DRIVER_FEATURES, Number(features));
      queues = countQueues();
    },

    config(widths) {
      const fields = specific();
      let before = new Uint8Array(fields.size);
      readFields(fields, widths, before);
      // Without a generation, what reads the same twice counts as consistent (2.5.4).
      for (let tries = 1; tries < CONFIG_TRIES; tries++) {
        const now = new Uint8Array(fields.size);
        readFields(fields, widths, now);
        if (now.every((byte, i) => byte === before[i])) return now;
        before = now;
      }
      throw new DeviceFault(
        "D-37",
        `The device's configuration was different in each of ${CONFIG_TRIES} reads (virtio 1.4, 2.5.4)`,
      );
    },

    writeConfig: (offset, width, value) => writeWidth(specific(), offset, width, value),

    queueMaximum(index) {
      check(index);
      select(index);
      return registers.read16(QUEUE_SIZE);
    },

    enableQueue(index, queue) {
      check(index);
      select(index);
      const size = registers.read16(QUEUE_SIZE);
      if (size !== queue.size) {
        throw new DeviceFault(
          "D-35",
          `Queue ${index} has ${size} entries, not ${queue.size}: a legacy device knows one size only`,
        );
      }
      const page = legacyPage(index, queue);
      if (registers.read32(QUEUE_ADDRESS) !== 0) {
        throw new DeviceFault("D-36", `Queue ${index} is enabled before the driver enabled it`);
      }
      registers.write32(QUEUE_ADDRESS, page);
      if (registers.read32(QUEUE_ADDRESS) !== page) {
        throw new DeviceFault("D-36", `Queue ${index} does not let itself be enabled`);
      }
    },

    resetQueue: (index) =>
      Promise.reject(
        new Error(
          `Cannot reset queue ${index} alone: a legacy device cannot offer VIRTIO_F_RING_RESET; reset the device`,
        ),
      ),

    doorbell(index) {
      check(index);
      return device.doorbell(BAR, QUEUE_NOTIFY, index, 2);
    },

    interruptStatus: () => registers.read8(ISR_STATUS),

    setConfigVector: (vector) => takesVector(CONFIG_MSIX_VECTOR, vector),

    setQueueVector(index, vector) {
      check(index);
      select(index);
      return takesVector(QUEUE_MSIX_VECTOR, vector);
    },
  };
}

/**
 * The page number of a queue. The device computes the rest from it: behind the descriptors comes the available ring,
 * and at the next page the used ring (virtio 1.4, 2.7.2).
 */
function legacyPage(index: number, { size, descriptors, driver, device }: QueueAddresses): number {
  const available = descriptors + 16 * size;
  const used = Math.ceil((available + 6 + 2 * size) / PAGE) * PAGE;
  if (descriptors % PAGE !== 0 || driver !== available || device !== used) {
    throw new RangeError(
      `Cannot enable queue ${index} at 0x${descriptors.toString(16)}, 0x${
        driver.toString(16)
      } and ` +
        `0x${
          device.toString(16)
        }: a legacy device takes it in one piece, from the start of a page ` +
        `(virtio 1.4, 2.7.2)`,
    );
  }
  const page = descriptors / PAGE;
  if (page >= 2 ** 32) {
    throw new RangeError(
      `Cannot enable queue ${index} at 0x${
        descriptors.toString(16)
      }: a legacy device reaches 16 TiB`,
    );
  }
  return page;
}
