// A machine made of device models.

import type { DmaRun } from "../../core/dma/address_table.ts";
import { clear, close, eventfd, pipe, read, setNonBlocking, signal } from "../../core/linux/fd.ts";
import { mapShared, memoryFile } from "../../core/linux/memory.ts";
import type { Loop } from "../../core/irq/interrupt_loop.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_IO,
  COMMAND_MEMORY,
  INTERRUPT_PIN,
} from "../../core/pci/config_space.ts";
import { findMsi } from "../../core/pci/msi.ts";
import { findMsix } from "../../core/pci/msix.ts";
import type { Registers, Width } from "../../core/pci/registers.ts";
import type { FunctionModel } from "../function_model.ts";
import type { DeviceModel } from "../model.ts";
import { SimulatedFunction } from "../pci_function.ts";
import { VirtioFunction } from "../virtio_pci.ts";
import type {
  DmaMemory,
  DmaReach,
  Doorbell,
  OpenFunction,
  PciFunction,
} from "../../core/pci/function.ts";
import type { Platform } from "../../core/platform/platform.ts";
import { eventLine, type InterruptLine, stormLine } from "./interrupt_line.ts";

/** What a simulated machine is made of. */
export interface SimulatedOptions {
  /** Its devices, in the order of their addresses: the first is 0000:00:01.0. At most 31. */
  readonly devices: readonly (DeviceModel | FunctionModel)[];
  /** Waits for the doorbells. */
  readonly loop: Loop;
  /** Cuts DMA memory into runs of so many bytes, a multiple of 4096, that are not neighbours; whole if absent. */
  readonly runBytes?: number;
  /**
   * Called when a VirtIO device needs a reset or another has something to report, because its driver broke a rule
   * (`DriverFault`), its model says so (`NeedsReset`) or threw. If absent, what a model threw goes to the console.
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
  const functions = devices.map((model, i) => new Place(model, i + 1, options));
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
/** Where it starts for a device that cannot put such an address on the bus. */
const FIRST_NARROW = 0x10_0000;
const WIDE_BITS = 40;

/** Names of errors that are no mistake of this code: what a driver did wrong, and what a model wants. */
const EXPECTED = ["DriverFault", "NeedsReset"];

/** A device in its place on the bus. */
class Place implements PciFunction {
  readonly address: string;
  readonly config: Registers;
  readonly #device: SimulatedFunction;
  readonly #options: SimulatedOptions;
  #open: OpenSimulated | undefined;

  constructor(model: DeviceModel | FunctionModel, slot: number, options: SimulatedOptions) {
    this.address = `0000:00:${slot.toString(16).padStart(2, "0")}.0`;
    this.#options = options;
    this.#device = new SimulatedFunction("bars" in model ? model : new VirtioFunction(model), {
      interrupt: (vector) => this.#open?.interrupt(vector),
      pin: (asserted) => this.#open?.pin(asserted),
      failed: (error) => this.#fail(error),
    });
    this.config = this.#device.config;
  }

  open(): OpenFunction {
    if (this.#open) throw new Error(`Cannot open ${this.address}: it was opened already`);
    return this.#open = new OpenSimulated(
      this.#device,
      this.#options,
      () => this.#open = undefined,
    );
  }

  #fail(error: Error): void {
    const { failed } = this.#options;
    const expected = EXPECTED.includes(error.name);
    const isVirtio = this.#device.model instanceof VirtioFunction;
    if (failed) failed(this.address, error);
    else if (!expected) console.error(`${this.address}:`, error);
    else if (!isVirtio) console.error(`${this.address}: ${error.message}`);
    // A VirtIO device says itself that it needs a reset.
    if (!isVirtio) this.#open?.fail();
  }

  close(): void {
    this.#open?.[Symbol.dispose]();
  }
}

/** A doorbell on its way: BAR, offset, width and value, 32 bits each. */
const DOORBELL_WORDS = 4;
/** Where the value is, in bytes. */
const VALUE = 12;
/** What a pipe holds, at least by default. */
const PIPE_BYTES = 65536;
const doorbells = new Uint8Array(PIPE_BYTES);
const doorbellWords = new Uint32Array(doorbells.buffer);

class OpenSimulated implements OpenFunction {
  readonly config: Registers;
  /** Only of a device that can be reset alone. */
  readonly reset?: () => void;
  readonly failed = eventfd();
  readonly inThread = true;
  readonly #device: SimulatedFunction;
  readonly #options: SimulatedOptions;
  readonly #closed: () => void;
  /** Doorbells come out here. */
  readonly #notified: number;
  /** Drivers put them in here: it never blocks, since the device may be on the same thread. */
  readonly #doorbell: number;
  /** Signalled while there is more to do. */
  readonly #again = eventfd();
  readonly #descriptors: number[];
  #vectors: readonly InterruptLine[] = [];
  #signals: "msix" | "msi" | "pin" = "pin";
  #pin: InterruptLine | undefined;
  #pinMasked = false;
  #memories = 0;
  #nextNarrow = FIRST_NARROW;
  #isClosed = false;

  constructor(
    device: SimulatedFunction,
    options: SimulatedOptions,
    closed: () => void,
  ) {
    this.#device = device;
    this.#options = options;
    this.#closed = closed;
    this.config = device.config;
    if (device.model.flr) this.reset = () => device.reset();
    [this.#notified, this.#doorbell] = pipe();
    setNonBlocking(this.#doorbell);
    this.#descriptors = [this.#notified, this.#doorbell, this.#again, this.failed];
    this.#setCommand();
    options.loop.add(this.#notified, () => this.#hear());
    options.loop.add(this.#again, () => {
      clear(this.#again);
      this.#process();
    });
  }

  #setCommand(): void {
    this.config.write16(COMMAND, COMMAND_IO | COMMAND_MEMORY | COMMAND_BUS_MASTER);
  }

  #hear(): void {
    const length = read(this.#notified, doorbells);
    for (let i = 0; i + DOORBELL_WORDS <= length / 4; i += DOORBELL_WORDS) {
      const [bar, offset, width] = [
        doorbellWords[i]!,
        doorbellWords[i + 1]!,
        doorbellWords[i + 2]!,
      ];
      this.#device.ring(bar, offset, width as Width, doorbellWords[i + 3]!);
    }
    // Some may have found it full, and were lost.
    if (length === PIPE_BYTES) this.#device.missed();
    this.#process();
  }

  #process(): void {
    // More to do: others on this thread first.
    if (this.#device.process()) signal(this.#again);
  }

  /** The device sends an interrupt by MSI-X or MSI. */
  interrupt(vector: number): void {
    this.#vectors[vector]?.signal();
  }

  /** The device drives its interrupt pin. */
  pin(asserted: boolean): void {
    if (!asserted || !this.#pin || this.#pinMasked) return;
    this.#pinMasked = true;
    this.#pin.signal();
  }

  /** The bus reports an error of the device, as where an IOMMU stops it. */
  fail(): void {
    signal(this.failed);
  }

  bar(index: number): Registers | undefined {
    return this.#device.bar(index);
  }

  dma(bytes: number, { addressBits = 64 }: DmaReach = {}): DmaMemory {
    const fd = memoryFile("virtio-dma", bytes);
    this.#descriptors.push(fd);
    const runs = cut(this.#room(bytes, addressBits), bytes, this.#options.runBytes ?? bytes);
    this.#device.memory.add(mapShared(fd, 0, bytes), runs);
    return { fd, offset: 0, size: bytes, runs };
  }

  /** Where the next memory begins. */
  #room(bytes: number, addressBits: number): number {
    if (addressBits >= WIDE_BITS) return FIRST_ADDRESS + NEXT_ADDRESS * this.#memories++;
    const start = this.#nextNarrow;
    this.#nextNarrow += 2 * bytes;
    return start;
  }

  vectors(wanted: number): readonly number[] {
    const msix = findMsix(this.config, (index) => this.bar(index)?.size);
    return this.#listen("msix", Math.min(wanted, msix?.vectors ?? 0));
  }

  msi(): number | undefined {
    return this.#listen("msi", findMsi(this.config) ? 1 : 0)[0];
  }

  #listen(how: "msix" | "msi", count: number): readonly number[] {
    const line = this.#device.model.storms ? stormLine : eventLine;
    this.#vectors = Array.from({ length: count }, line);
    if (count > 0) this.#signalBy(how);
    return this.#vectors.map(({ fd }) => fd);
  }

  intx(): number | undefined {
    if (this.config.read8(INTERRUPT_PIN) === 0) return undefined;
    // With MSI-X or MSI turned on, it never asserts its pin (PCI 3.0, 6.8.3.3).
    this.#signalBy("pin");
    this.#pin ??= eventLine();
    if (this.#device.asserted) this.pin(true);
    return this.#pin.fd;
  }

  #signalBy(how: "msix" | "msi" | "pin"): void {
    this.#signals = how;
    this.#device.signalBy(how);
  }

  unmaskIntx(): void {
    this.#pinMasked = false;
    if (this.#device.asserted) this.pin(true);
  }

  doorbell(bar: number, offset: number, value: number, width: 2 | 4): Doorbell {
    const message = new Uint8Array(4 * DOORBELL_WORDS);
    new Uint32Array(message.buffer).set([bar, offset, width, value]);
    const doorbell = { fd: this.#doorbell, message };
    return width === 2 ? doorbell : { ...doorbell, data: { at: VALUE, form: "u32" } };
  }

  takeAnswers(): void {
    // Nothing answers a pipe.
  }

  restore(): void {
    this.#setCommand();
    this.#signalBy(this.#signals);
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { loop } = this.#options;
    loop.remove(this.#notified);
    loop.remove(this.#again);
    this.#closed();
    this.#device.reset();
    this.#device.memory.clear();
    for (const line of this.#vectors) line[Symbol.dispose]();
    this.#pin?.[Symbol.dispose]();
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
