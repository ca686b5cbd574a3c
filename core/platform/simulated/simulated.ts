import type { DmaRun } from "../../dma/address_table.ts";
import { clear, close, eventfd, signal } from "../../host/fd.ts";
import { mapShared, memoryFile } from "../../host/memory.ts";
import type { Loop } from "../../irq/interrupt_loop.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY } from "../../pci/config_space.ts";
import type { Registers } from "../../pci/registers.ts";
import type { DeviceModel } from "../../simulation/model.ts";
import { PciDevice } from "../../simulation/pci_device.ts";
import type { DmaMemory, Doorbell, OpenFunction, PciFunction, Platform } from "../platform.ts";

/** What a simulated machine is made of. */
export interface SimulatedOptions {
  /** Its devices, in the order of their addresses: the first is 0000:00:01.0. At most 31. */
  readonly devices: readonly DeviceModel[];
  /** Waits for the doorbells. */
  readonly loop: Loop;
  /** Cuts DMA memory into runs of so many bytes, a multiple of 4096, that are not neighbours; whole if absent. */
  readonly runBytes?: number;
  /**
   * Called when a device needs a reset, because its driver broke a rule (`DriverFault`) or its model threw. If
   * absent, what a model threw goes to the console.
   */
  readonly failed?: (address: string, error: Error) => void;
}

/**
 * A machine made of device models, in this process: each device is a PCI function as any other, and its interrupts,
 * doorbells and memory are real, so a driver in another process cannot tell the difference.
 */
export function openSimulated(options: SimulatedOptions): Platform {
  const { devices } = options;
  if (devices.length > 31) {
    throw new RangeError(`Cannot simulate ${devices.length} devices: a bus has room for 31`);
  }
  const functions = devices.map((model, i) => new SimulatedFunction(model, i + 1, options));
  return {
    kind: "simulated",
    description: `simulated machine, ${devices.length} device${devices.length === 1 ? "" : "s"}`,
    functions,
    [Symbol.asyncDispose]() {
      for (const each of functions) each.close();
      return Promise.resolve();
    },
  };
}

/** Where DMA memory starts: above 4 GiB, and so that the low half of the address overflows after a few pages. */
const FIRST_ADDRESS = 0x2_0000_0000 - 5 * 4096;
/** Apart by more than any memory is long. */
const NEXT_ADDRESS = 0x40_0000_0000;

class SimulatedFunction implements PciFunction {
  readonly address: string;
  readonly config: Registers;
  readonly #device: PciDevice;
  readonly #options: SimulatedOptions;
  #vectors: readonly number[] = [];
  #open: OpenSimulated | undefined;

  constructor(model: DeviceModel, slot: number, options: SimulatedOptions) {
    this.address = `0000:00:${slot.toString(16).padStart(2, "0")}.0`;
    this.#options = options;
    this.#device = new PciDevice(model, {
      interrupt: (vector) => {
        const fd = this.#vectors[vector];
        if (fd !== undefined) signal(fd);
      },
      failed: (error) => {
        if (options.failed) options.failed(this.address, error);
        else if (error.name !== "DriverFault") console.error(`${this.address}:`, error);
      },
    });
    this.config = this.#device.config;
  }

  open(): OpenFunction {
    if (this.#open) throw new Error(`Cannot open ${this.address}: it was opened already`);
    const open = new OpenSimulated(this.#device, this.#options, {
      vectors: (fds) => this.#vectors = fds,
      closed: () => {
        this.#vectors = [];
        this.#open = undefined;
      },
    });
    return this.#open = open;
  }

  close(): void {
    this.#open?.[Symbol.dispose]();
  }
}

class OpenSimulated implements OpenFunction {
  readonly config: Registers;
  readonly #device: PciDevice;
  readonly #options: SimulatedOptions;
  readonly #owner: { vectors(fds: readonly number[]): void; closed(): void };
  readonly #doorbell = eventfd();
  readonly #descriptors: number[] = [this.#doorbell];
  #memories = 0;
  #closed = false;

  constructor(
    device: PciDevice,
    options: SimulatedOptions,
    owner: { vectors(fds: readonly number[]): void; closed(): void },
  ) {
    this.#device = device;
    this.#options = options;
    this.#owner = owner;
    this.config = device.config;
    this.config.write16(COMMAND, COMMAND_MEMORY | COMMAND_BUS_MASTER);
    options.loop.add(this.#doorbell, () => {
      clear(this.#doorbell);
      // More to do: others on this thread first.
      if (device.process()) signal(this.#doorbell);
    });
  }

  bar(index: number): Registers | undefined {
    return this.#device.bar(index);
  }

  dma(bytes: number): DmaMemory {
    const fd = memoryFile("virtio-dma", bytes);
    this.#descriptors.push(fd);
    const start = FIRST_ADDRESS + NEXT_ADDRESS * this.#memories++;
    const runs = cut(start, bytes, this.#options.runBytes ?? bytes);
    this.#device.memory.add(mapShared(fd, 0, bytes), runs);
    return { fd, offset: 0, size: bytes, runs };
  }

  vectors(wanted: number): readonly number[] {
    const count = Math.min(wanted, this.#device.vectors);
    const fds = Array.from({ length: count }, () => eventfd());
    this.#descriptors.push(...fds);
    this.#owner.vectors(fds);
    if (count > 0) this.#device.enableMsix(true);
    return fds;
  }

  doorbell(): Doorbell {
    // Whatever queue it is for: the device looks at all of them.
    return { fd: this.#doorbell, message: new Uint8Array(new BigUint64Array([1n]).buffer) };
  }

  settle(): void {
    // Nothing answers an eventfd.
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.loop.remove(this.#doorbell);
    this.#owner.closed();
    this.#device.reset();
    this.#device.memory.clear();
    for (const fd of this.#descriptors) close(fd);
  }
}

/** Runs of `most` bytes with holes between them, the last one at the lowest address. */
function cut(start: number, bytes: number, most: number): DmaRun[] {
  const count = Math.ceil(bytes / most);
  return Array.from({ length: count }, (_, i) => ({
    address: start + (count - 1 - i) * 2 * most,
    length: Math.min(most, bytes - i * most),
  }));
}
