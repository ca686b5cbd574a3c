// A simulated PCI function around a model: configuration space, BARs, interrupts.

import {
  BAR0,
  BAR_IO,
  BAR_MEMORY_64,
  BAR_MEMORY_PREFETCHABLE,
  CAPABILITIES_POINTER,
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
  DEVICE_ID,
  INTERRUPT_PIN,
  REVISION_ID,
  STATUS,
  STATUS_CAPABILITIES,
  STATUS_INTERRUPT,
  SUBSYSTEM_ID,
  SUBSYSTEM_VENDOR_ID,
  VENDOR_ID,
} from "../core/pci/config_space.ts";
import { MSI_X } from "../core/pci/capabilities.ts";
import { type Registers, type Width, window } from "../core/pci/registers.ts";
import { DeviceMemory } from "./device_memory.ts";
import type { BarModel, FunctionHandle, FunctionModel, MsixModel } from "./function_model.ts";
import { readBytes } from "./read_bytes.ts";

/** What a simulated function finds around it: a machine, or whatever stands for one. */
export interface Slot {
  /** Delivers message-signalled interrupt number `vector`. */
  interrupt(vector: number): void;
  /** Drives the interrupt pin: the device asserts it, or does so no more. */
  pin(asserted: boolean): void;
  /** Something went wrong: the driver's fault if it is a `DriverFault`. */
  failed(error: Error): void;
}

const UNCLASSIFIED = 0xff0000;
const INTERRUPT_LINE = 0x3c;
const INTA = 1;
const FIRST_CAPABILITY = 0x40;
const PAGE = 0x1000;

/** Where the machine has put BAR 0, and how far apart they are: what it could be, since nothing decodes it. */
const FIRST_BAR = 0xe000_0000;
const MOST_BAR_BYTES = 0x200_0000;
const PORTS = 0xc000;
/** Upper half of an address of 64 bits. */
const WIDE_UPPER = 0x80;

/** MSI (PCI 3.0, 6.8.1), with an address of 64 bits. */
const MSI = { id: 0x05, bytes: 14, control: 2, enable: 1 << 0, wide: 1 << 7 } as const;
const MSI_USED_SHIFT = 4;

/** MSI-X (6.8.2). */
const MSIX = { bytes: 12, control: 2, enable: 1 << 15, maskAll: 1 << 14 } as const;
const MOST_VECTORS = 2048;
const ENTRY_BYTES = 16;
const ENTRY_CONTROL = 12;
const ENTRY_MASKED = 1;

/** The PCI Express capability (PCI Express 4.0, 7.5.3), as far as a reset needs it. */
const EXPRESS = { id: 0x10, bytes: 0x3c, capabilities: 4, control: 8, version: 2 } as const;
const CAN_RESET = 1 << 28;
const INITIATE_RESET = 1 << 15;

/**
 * A PCI function around a model: configuration space, BARs, interrupts by MSI-X, MSI and pin, and memory that it reaches
 * while it may master the bus (PCI 3.0, 6). It knows nothing of how its machine is made: accesses come in by `config`,
 * `bar()` and `ring()`, interrupts go out by its {@linkcode Slot}.
 */
export class SimulatedFunction implements FunctionHandle {
  /** What it is made of. */
  readonly model: FunctionModel;
  /** Its configuration space. */
  readonly config: Registers;
  /** The memory that it can reach; empty at first. */
  readonly memory: DeviceMemory = new DeviceMemory(() => this.mayMaster);
  readonly space: DataView<ArrayBuffer>;
  /** How many MSI-X vectors it has. */
  readonly vectors: number;

  readonly #slot: Slot;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #bars = new Map<number, Registers>();
  readonly #bytes = new Uint8Array(256);
  /** For each bit of the configuration space whether the driver can change it. */
  readonly #changeable = new Uint8Array(256);
  /** Entries of the MSI-X table, and pending bits behind them. */
  readonly #table: Uint8Array<ArrayBuffer>;
  readonly #pending: number;
  /** Where the capabilities are; 0 where one is missing. */
  readonly #at: { readonly msix: number; readonly msi: number; readonly express: number };
  /** Whether the model asserts the pin. */
  #level = false;
  /** Whether that is to be seen. */
  #asserted = false;
  #isGone = false;

  /**
   * Makes the function of a model.
   *
   * @throws {RangeError} If no function can be so.
   */
  constructor(model: FunctionModel, slot: Slot) {
    this.model = model;
    this.#slot = slot;
    this.space = new DataView(this.#bytes.buffer);
    this.vectors = model.msix?.vectors ?? 0;
    if (model.msix && !(this.vectors >= 1 && this.vectors <= MOST_VECTORS)) {
      throw impossible(model, `an MSI-X table of ${this.vectors} vectors`);
    }
    this.#pending = ENTRY_BYTES * this.vectors;
    this.#table = new Uint8Array(this.#pending + 8 * Math.ceil(this.vectors / 64));
    this.#maskAll(true);
    this.#header();
    const bars = { ...model.bars };
    if (model.msix) bars[model.msix.bar] ??= { bytes: this.#tableBar(model.msix) };
    for (const [index, bar] of Object.entries(bars)) this.#bar(Number(index), bar);
    this.#at = this.#capabilities();
    this.config = window(
      this.#bytes.length,
      (offset, width) => this.#readConfig(offset, width),
      (offset, width, value) => this.#writeConfig(offset, width, value),
    );
    model.attach?.(this);
  }

  get mayMaster(): boolean {
    return this.#command(COMMAND_BUS_MASTER) && !this.#isGone;
  }

  get signals(): "msix" | "msi" | "pin" {
    if (this.#msixControl() & MSIX.enable) return "msix";
    return this.#msiControl() & MSI.enable ? "msi" : "pin";
  }

  /** Whether it asserts its interrupt pin. */
  get asserted(): boolean {
    return this.#asserted;
  }

  bar(index: number): Registers | undefined {
    return this.#bars.get(index);
  }

  /** The driver wrote a register from elsewhere, together with others perhaps: {@linkcode process} follows. */
  ring(bar: number, offset: number, width: Width, value: number): void {
    if (!this.#answers(bar)) return;
    this.#guard(() => this.model.write(bar, offset, width, value));
  }

  /** Some of those writes may have been lost. */
  missed(): void {
    this.#guard(() => this.model.missed?.());
  }

  /** Lets the device do what there is to do. Returns whether there may be more: call again soon. */
  process(): boolean {
    return this.#guard(() => this.model.process?.()) ?? false;
  }

  /** Has it interrupt so and not otherwise, with all vectors unmasked, as the owner of the interrupts does. */
  signalBy(how: "msix" | "msi" | "pin"): void {
    const { msix, msi } = this.#at;
    const set = (at: number, bit: number, on: boolean) => {
      if (at === 0) return;
      const control = this.space.getUint16(at + MSIX.control, true);
      this.space.setUint16(at + MSIX.control, on ? control | bit : control & ~bit, true);
    };
    set(msix, MSIX.maskAll, false);
    set(msix, MSIX.enable, how === "msix");
    set(msi, MSI.enable, how === "msi");
    this.#maskAll(how !== "msix");
    this.#drivePin();
  }

  /** Masks an MSI-X vector, or does so no more, as an owner of the interrupts does that keeps the table from the driver. */
  mask(vector: number, masked: boolean): void {
    this.#writeTable(ENTRY_BYTES * vector + ENTRY_CONTROL, 4, masked ? ENTRY_MASKED : 0);
  }

  /** Reset of the function as a whole: what the driver did is forgotten. */
  reset(): void {
    this.#guard(() => this.model.reset?.());
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#level = false;
    this.space.setUint16(COMMAND, 0, true);
    this.signalBy("pin");
  }

  interrupt(vector: number): void {
    if (!this.mayMaster) return;
    const { signals } = this;
    if (signals === "msi") {
      const used = 1 << (this.#msiControl() >> MSI_USED_SHIFT & 0x7);
      this.#slot.interrupt(vector & used - 1);
    } else if (signals === "msix" && vector < this.vectors) {
      if (this.#isMasked(vector)) this.#setPending(vector, true);
      else this.#slot.interrupt(vector);
    }
  }

  pin(asserted: boolean): void {
    this.#level = asserted;
    this.#drivePin();
  }

  later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#isGone) this.#guard(act);
    }, ms);
    this.#timers.add(timer);
  }

  failed(error: Error): void {
    this.#slot.failed(error);
  }

  /** What driver and model do wrong is no error of the code that touched the device. */
  #guard<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      this.failed(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
  }

  /** Asked at each access: whether the device is gone by now. */
  #leaves(): boolean {
    return this.#isGone = this.model.gone?.() ?? false;
  }

  #command(bit: number): boolean {
    return (this.space.getUint16(COMMAND, true) & bit) !== 0;
  }

  #msixControl(): number {
    return this.#control(this.#at.msix);
  }

  #msiControl(): number {
    return this.#control(this.#at.msi);
  }

  #control(at: number): number {
    return at === 0 ? 0 : this.space.getUint16(at + MSIX.control, true);
  }

  #drivePin(): void {
    const wants = (this.model.pin ?? true) && this.#level && this.signals === "pin";
    const status = this.space.getUint16(STATUS, true) & ~STATUS_INTERRUPT;
    this.space.setUint16(STATUS, wants ? status | STATUS_INTERRUPT : status, true);
    const asserted = wants && !this.#command(COMMAND_INTX_DISABLE);
    if (asserted === this.#asserted) return;
    this.#asserted = asserted;
    this.#slot.pin(asserted);
  }

  #maskAll(masked: boolean): void {
    this.#table.fill(0, this.#pending);
    for (let vector = 0; vector < this.vectors; vector++) {
      this.#table[ENTRY_BYTES * vector + ENTRY_CONTROL] = masked ? ENTRY_MASKED : 0;
    }
  }

  #isMasked(vector: number): boolean {
    const entry = this.#table[ENTRY_BYTES * vector + ENTRY_CONTROL]! & ENTRY_MASKED;
    return entry !== 0 || (this.#msixControl() & MSIX.maskAll) !== 0;
  }

  #setPending(vector: number, on: boolean): void {
    const at = this.#pending + (vector >> 3);
    const bit = 1 << (vector & 7);
    this.#table[at] = on ? this.#table[at]! | bit : this.#table[at]! & ~bit;
  }

  /** Sends what waits for a vector to be unmasked. */
  #sendPending(): void {
    if (this.signals !== "msix") return;
    for (let vector = 0; vector < this.vectors; vector++) {
      const waits = this.#table[this.#pending + (vector >> 3)]! & 1 << (vector & 7);
      if (!waits || this.#isMasked(vector)) continue;
      this.#setPending(vector, false);
      this.interrupt(vector);
    }
  }

  /** Behind a BAR there is nothing while its space is off, or the device gone: reads give all ones. */
  #answers(index: number): boolean {
    const ports = this.model.bars[index]?.kind === "ports";
    return this.#command(ports ? COMMAND_IO : COMMAND_MEMORY) && !this.#leaves();
  }

  #tableBar({ offset = 0 }: MsixModel): number {
    return Math.max(PAGE, 2 ** Math.ceil(Math.log2(offset + this.#table.length)));
  }

  #bar(index: number, { bytes, kind = "memory", prefetchable = false }: BarModel): void {
    const { model } = this;
    const wide = kind === "memory64";
    const ports = kind === "ports";
    const last = wide ? 4 : 5;
    if (!Number.isInteger(index) || index < 0 || index > last) {
      throw impossible(model, `a BAR ${index}`);
    }
    if (!(bytes >= 16 && bytes <= MOST_BAR_BYTES && Number.isInteger(Math.log2(bytes)))) {
      throw impossible(model, `a BAR of ${bytes} bytes`);
    }
    const table = model.msix?.bar === index ? model.msix.offset ?? 0 : bytes;
    if (table < bytes && table + this.#table.length > bytes) {
      throw impossible(model, `an MSI-X table that ends behind BAR ${index}`);
    }
    const inTable = (offset: number) => offset >= table && offset < table + this.#table.length;
    const mine = index in model.bars;
    this.#bars.set(
      index,
      window(bytes, (offset, width) => {
        if (!this.#answers(index)) return allOnes(width);
        if (inTable(offset)) return readBytes(this.#table, offset - table, width);
        const value = mine ? this.#guard(() => model.read(index, offset, width)) : 0;
        return value === undefined ? allOnes(width) : cut(value, width);
      }, (offset, width, value) => {
        if (!this.#answers(index)) return;
        if (inTable(offset)) return this.#writeTable(offset - table, width, value);
        if (!mine) return;
        this.#guard(() => model.write(index, offset, width, value));
        while (this.process());
      }),
    );

    const at = BAR0 + 4 * index;
    const flags = (wide ? BAR_MEMORY_64 : 0) | (prefetchable ? BAR_MEMORY_PREFETCHABLE : 0);
    const changeable = new DataView(this.#changeable.buffer);
    changeable.setUint32(at, -bytes, true);
    if (ports) this.space.setUint32(at, PORTS | BAR_IO, true);
    else this.space.setUint32(at, (FIRST_BAR + MOST_BAR_BYTES * index | flags) >>> 0, true);
    if (wide) {
      this.space.setUint32(at + 4, WIDE_UPPER, true);
      changeable.setUint32(at + 4, 0xffffffff, true);
    }
    const command = changeable.getUint16(COMMAND, true) | (ports ? COMMAND_IO : COMMAND_MEMORY);
    changeable.setUint16(COMMAND, command, true);
  }

  #writeTable(offset: number, width: Width, value: number): void {
    if (offset >= this.#pending) return;
    for (let i = 0; i < width; i++) this.#table[offset + i] = value >>> 8 * i & 0xff;
    this.#sendPending();
  }

  #header(): void {
    const { space, model } = this;
    space.setUint16(VENDOR_ID, model.vendor, true);
    space.setUint16(DEVICE_ID, model.device, true);
    const classCode = model.classCode ?? UNCLASSIFIED;
    space.setUint32(REVISION_ID, (model.revision ?? 0) | classCode << 8, true);
    space.setUint16(SUBSYSTEM_VENDOR_ID, model.subsystemVendor ?? 0, true);
    space.setUint16(SUBSYSTEM_ID, model.subsystem ?? 0, true);
    space.setUint8(INTERRUPT_PIN, model.pin ?? true ? INTA : 0);
    const changeable = new DataView(this.#changeable.buffer);
    changeable.setUint16(COMMAND, COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE, true);
    changeable.setUint8(INTERRUPT_LINE, 0xff); // a note of the operating system's
  }

  /** Writes the capability list (PCI 3.0, 6.7). */
  #capabilities(): { msix: number; msi: number; express: number } {
    const { space, model } = this;
    const changeable = new DataView(this.#changeable.buffer);
    let link: number = CAPABILITIES_POINTER;
    let end = FIRST_CAPABILITY;
    const add = (id: number, length: number) => {
      const at = end;
      end += Math.ceil(length / 4) * 4;
      if (end > this.#bytes.length) throw impossible(model, "so many capabilities");
      space.setUint8(link, at);
      space.setUint8(at, id);
      space.setUint16(STATUS, STATUS_CAPABILITIES, true);
      link = at + 1;
      return at;
    };

    for (const { id, bytes, changeable: bits } of model.capabilities ?? []) {
      const at = add(id, 2 + bytes.length);
      this.#bytes.set(bytes, at + 2);
      if (bits) this.#changeable.set(bits.subarray(0, bytes.length), at + 2);
    }
    let msix = 0, msi = 0, express = 0;
    if (model.msix) {
      msix = add(MSI_X, MSIX.bytes);
      const { bar, offset = 0 } = model.msix;
      space.setUint16(msix + MSIX.control, this.vectors - 1, true);
      space.setUint32(msix + 4, offset | bar, true);
      space.setUint32(msix + 8, offset + this.#pending | bar, true);
      changeable.setUint16(msix + MSIX.control, MSIX.enable | MSIX.maskAll, true);
    }
    if (model.msi) {
      msi = add(MSI.id, MSI.bytes);
      space.setUint16(msi + MSI.control, MSI.wide | Math.log2(model.msi) << 1, true);
      changeable.setUint16(msi + MSI.control, MSI.enable | 0x7 << MSI_USED_SHIFT, true);
      changeable.setUint32(msi + 4, 0xfffffffc, true);
      changeable.setUint32(msi + 8, 0xffffffff, true);
      changeable.setUint16(msi + 12, 0xffff, true);
    }
    if (model.flr) {
      express = add(EXPRESS.id, EXPRESS.bytes);
      space.setUint16(express + 2, EXPRESS.version, true);
      space.setUint32(express + EXPRESS.capabilities, CAN_RESET, true);
      changeable.setUint16(express + EXPRESS.control, INITIATE_RESET, true);
    }
    return { msix, msi, express };
  }

  #readConfig(offset: number, width: Width): number {
    if (this.#leaves()) return allOnes(width);
    const value = readBytes(this.#bytes, offset, width);
    return cut(this.model.readConfig?.(offset, width, value) ?? value, width);
  }

  #writeConfig(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) {
      const mask = this.#changeable[offset + i]!;
      const byte = value >>> 8 * i & 0xff;
      this.#bytes[offset + i] = (this.#bytes[offset + i]! & ~mask) | (byte & mask);
    }
    this.model.wroteConfig?.(offset, width);
    const { express } = this.#at;
    if (express > 0 && this.space.getUint16(express + EXPRESS.control, true) & INITIATE_RESET) {
      this.space.setUint16(express + EXPRESS.control, 0, true);
      return this.reset();
    }
    this.#sendPending();
    this.#drivePin();
  }
}

function impossible({ vendor, device }: FunctionModel, what: string): RangeError {
  const id = [vendor, device].map((each) => each.toString(16).padStart(4, "0")).join(":");
  return new RangeError(`Cannot simulate the PCI function ${id}: none can have ${what}`);
}

function allOnes(width: Width): number {
  return 2 ** (8 * width) - 1;
}

function cut(value: number, width: Width): number {
  return width === 4 ? value >>> 0 : value & allOnes(width);
}
