// A machine whose devices are other programs.

import type { Loop } from "../../core/irq/interrupt_loop.ts";
import { close, eventfd, signal } from "../../core/linux/fd.ts";
import { memoryFile } from "../../core/linux/memory.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_IO,
  COMMAND_MEMORY,
} from "../../core/pci/config_space.ts";
import { DeviceFault } from "../../core/pci/device_fault.ts";
import type { DmaMemory, Doorbell, OpenFunction, PciFunction } from "../../core/pci/function.ts";
import {
  readWidth,
  type Registers,
  type Width,
  window,
  writeWidth,
} from "../../core/pci/registers.ts";
import type { Platform } from "../../core/platform/platform.ts";
import { Refusal } from "../../core/platform/refusal.ts";
import type { DeviceModel } from "../model.ts";
import { SimulatedFunction } from "../pci_function.ts";
import { notifiedQueue, VirtioFunction } from "../virtio_pci.ts";
import { BackEnd } from "./back_end.ts";
import type { BackEndFacts, ControlQueue } from "./session.ts";

export type { BackEndFacts, ControlQueue };

/** Where DMA memory starts: above 4 GiB, so that a back-end that cuts addresses off is found out. */
const FIRST_ADDRESS = 0x2_0000_0000;
/** Apart by more than any memory is long. */
const NEXT_ADDRESS = 0x40_0000_0000;
/** What rings an eventfd. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);
/** Places on a bus, without that of its bridge. */
const LARGEST_BUS = 31;

/**
 * A machine whose devices are programs that speak vhost-user. Each is a PCI function as any other; one that cannot be
 * reached, or is not what it should be, is refused, and the others are there all the same.
 *
 * @param loop Waits for what back-ends say; it runs already.
 * @throws {RangeError} If there are too many.
 */
export async function openVhostUser(
  backEnds: readonly BackEndFacts[],
  loop: Loop,
): Promise<Platform> {
  if (backEnds.length > LARGEST_BUS) {
    throw new RangeError(
      `Cannot have ${backEnds.length} back-ends: a bus has room for ${LARGEST_BUS}`,
    );
  }
  const twice = backEnds.find(({ socket }, i) =>
    backEnds.findIndex((each) => each.socket === socket) < i
  );
  // A program serves one connection: the second would not be heard.
  if (twice) throw new RangeError(`Cannot use ${twice.name} twice: a socket is for one device`);
  const functions = await Promise.all(backEnds.map((facts, i) => Place.open(facts, i + 1, loop)));
  return {
    kind: "vhost-user",
    description: `vhost-user machine, ${backEnds.map(({ name }) => name).join(" ")}`,
    functions,
    [Symbol.asyncDispose]() {
      for (const each of functions) each.close();
      return Promise.resolve();
    },
  };
}

/** A back-end in its place on the bus. */
class Place implements PciFunction {
  readonly address: string;
  readonly config: Registers;
  readonly refusal?: string;
  readonly #device: SimulatedFunction;
  readonly #backEnd: BackEnd | undefined;
  #open: OpenBackEnd | undefined;

  /** Connects. */
  static async open(facts: BackEndFacts, slot: number, loop: Loop): Promise<Place> {
    let place: Place | undefined;
    const lent = {
      loop,
      memories: () => place ? place.#open?.memories ?? [] : [],
      vector: (index: number) => place ? place.#open?.eventfds[index] : undefined,
    };
    const found = await BackEnd.open(facts, lent).catch((error: Error) => error);
    return place = new Place(facts, slot, found);
  }

  private constructor(facts: BackEndFacts, slot: number, found: BackEnd | Error) {
    this.address = `0000:00:${slot.toString(16).padStart(2, "0")}.0`;
    const backEnd = this.#backEnd = found instanceof BackEnd ? found : undefined;
    if (found instanceof Error) this.refusal = `${facts.name}: ${found.message}`;
    const model: DeviceModel = {
      id: facts.type,
      queues: backEnd?.queues ?? [],
      pin: false,
      get config() {
        return backEnd?.config ?? new Uint8Array(facts.configBytes);
      },
      handle: () => 0,
    };
    const virtio = backEnd
      ? new VirtioFunction(model, (around) => backEnd.attach(around))
      : new VirtioFunction(model);
    this.#device = new SimulatedFunction(virtio, {
      interrupt: (vector) => this.#open?.interrupt(vector),
      pin: () => {},
      failed: () => this.#open?.fail(),
    });
    this.config = this.#device.config;
  }

  open(): OpenFunction {
    if (!this.#backEnd) throw new Refusal(`Cannot use ${this.address}: ${this.refusal}`);
    if (this.#open) throw new Error(`Cannot open ${this.address}: it was opened already`);
    return this.#open = new OpenBackEnd(
      this.#device,
      this.#backEnd,
      () => this.#open = undefined,
    );
  }

  close(): void {
    this.#open?.[Symbol.dispose]();
    this.#backEnd?.[Symbol.dispose]();
  }
}

class OpenBackEnd implements OpenFunction {
  readonly config: Registers;
  readonly failed = eventfd();
  memories: readonly DmaMemory[] = [];
  eventfds: readonly number[] = [];
  readonly #device: SimulatedFunction;
  readonly #backEnd: BackEnd;
  readonly #closed: () => void;
  readonly #descriptors: number[] = [this.failed];
  readonly #bars = new Map<number, Registers>();
  #signals: "msix" | "pin" = "pin";
  #isClosed = false;

  constructor(device: SimulatedFunction, backEnd: BackEnd, closed: () => void) {
    this.#device = device;
    this.#backEnd = backEnd;
    this.#closed = closed;
    this.config = device.config;
    this.#setCommand();
  }

  #setCommand(): void {
    this.config.write16(COMMAND, COMMAND_IO | COMMAND_MEMORY | COMMAND_BUS_MASTER);
  }

  interrupt(vector: number): void {
    const fd = this.eventfds[vector];
    if (fd !== undefined) signal(fd);
  }

  fail(): void {
    signal(this.failed);
  }

  failure(): string | undefined {
    return this.#backEnd.lost;
  }

  async settled(): Promise<void> {
    await this.#backEnd.settled();
    this.#check();
  }

  #check(): void {
    const { lost } = this.#backEnd;
    if (lost !== undefined) throw new DeviceFault("D-74", lost);
  }

  bar(index: number): Registers | undefined {
    const registers = this.#device.bar(index);
    if (!registers) return undefined;
    let bar = this.#bars.get(index);
    if (!bar) this.#bars.set(index, bar = this.#watched(registers));
    return bar;
  }

  /** Registers of a device whose program is gone are an error, and not one of the driver's. */
  #watched(registers: Registers): Registers {
    const read = (offset: number, width: Width) => readWidth(registers, offset, width);
    return window(registers.size, read, (offset, width, value) => {
      writeWidth(registers, offset, width, value);
      if (value !== 0) this.#check();
    });
  }

  dma(bytes: number): DmaMemory {
    const start = FIRST_ADDRESS + NEXT_ADDRESS * this.memories.length;
    const memory = this.#allocate(bytes, [{ address: start, length: bytes }]);
    this.memories = [...this.memories, memory];
    return memory;
  }

  #allocate(size: number, runs: DmaMemory["runs"]): DmaMemory {
    const fd = memoryFile("virtio-dma", size);
    this.#descriptors.push(fd);
    return { fd, offset: 0, size, runs };
  }

  renew(memory: DmaMemory): DmaMemory | undefined {
    if (!this.#backEnd.takeTaint()) return undefined;
    const { fd, size, runs } = memory;
    const fresh = this.#allocate(size, runs);
    this.memories = this.memories.map((each) => each.fd === fd ? fresh : each);
    this.#descriptors.splice(this.#descriptors.indexOf(fd), 1);
    close(fd);
    return fresh;
  }

  vectors(wanted: number): readonly number[] {
    const count = Math.min(wanted, this.#device.vectors);
    this.eventfds = Array.from({ length: count }, eventfd);
    this.#descriptors.push(...this.eventfds);
    this.#signals = count > 0 ? "msix" : "pin";
    this.#device.signalBy(this.#signals);
    return this.eventfds;
  }

  doorbell(_bar: number, offset: number): Doorbell {
    return { fd: this.#backEnd.kick(notifiedQueue(offset)), message: ONE };
  }

  takeAnswers(): void {
    // Nothing answers an eventfd.
  }

  restore(): void {
    this.#setCommand();
    this.#device.signalBy(this.#signals);
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#backEnd.leave();
    this.#device.reset();
    this.#closed();
    for (const fd of this.#descriptors) close(fd);
  }
}
