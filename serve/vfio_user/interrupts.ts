import { INTERRUPT_PIN } from "../../core/pci/config_space.ts";
import { Malformed, type Reply, type Request } from "./message.ts";
import { Irq, IrqFlag, SetIrqs } from "./protocol.ts";
import type { ServedFunction } from "./served_function.ts";
import type { Line, Surroundings } from "./surroundings.ts";
import { Unsupported } from "./unsupported.ts";

const DATA = SetIrqs.NONE | SetIrqs.BOOL | SetIrqs.EVENTFD;
const ACTION = SetIrqs.MASK | SetIrqs.UNMASK | SetIrqs.TRIGGER;

/** Where a client wants the interrupts of a function: lines for each index, and what is masked. */
export class Interrupts {
  readonly #device: ServedFunction;
  readonly #around: Surroundings;
  /** By index, then by vector. */
  readonly #lines = Array.from({ length: Irq.COUNT }, () => new Map<number, Line>());
  #pinMasked = false;
  /** By what the client unmasks the pin without a message. */
  #unmasking: Disposable | undefined;

  /** None is wanted at first. */
  constructor(device: ServedFunction, around: Surroundings) {
    this.#device = device;
    this.#around = around;
  }

  /** The device sends an interrupt by MSI-X or MSI. */
  interrupt(vector: number): void {
    this.#lines[this.#device.signals === "msi" ? Irq.MSI : Irq.MSIX]!.get(vector)?.signal();
  }

  /** The device asserts its pin, or does so no more: once it was told, the client unmasks it first. */
  pin(asserted: boolean): void {
    const line = this.#lines[Irq.INTX]!.get(0);
    if (!asserted || !line || this.#pinMasked) return;
    this.#pinMasked = true;
    line.signal();
  }

  /** The function may have been reset: what the client wants has stayed. */
  restore(): void {
    for (const vector of this.#lines[Irq.MSIX]!.keys()) this.#device.mask(vector, false);
  }

  /** Answers DEVICE_GET_IRQ_INFO. */
  info(
    { argsz, index }: Request<"DEVICE_GET_IRQ_INFO">,
  ): Reply<"DEVICE_GET_IRQ_INFO"> {
    if (argsz < 16) throw new Malformed(`DEVICE_GET_IRQ_INFO has room for ${argsz} bytes of 16`);
    const count = this.#count(index);
    const flags = index === Irq.INTX
      ? IrqFlag.EVENTFD | IrqFlag.MASKABLE | IrqFlag.AUTOMASKED
      : IrqFlag.EVENTFD | IrqFlag.NORESIZE;
    return {
      command: "DEVICE_GET_IRQ_INFO",
      argsz: 16,
      flags: count > 0 ? flags : 0,
      index,
      count,
    };
  }

  /**
   * Carries out DEVICE_SET_IRQS.
   *
   * @param descriptors Those that came with it; what is used is taken out.
   */
  set(request: Request<"DEVICE_SET_IRQS">, descriptors: number[]): void {
    const { flags, index, start, count } = request;
    const [data, action] = [flags & DATA, flags & ACTION];
    if (flags & ~(DATA | ACTION) || !isOneBit(data) || !isOneBit(action)) {
      throw new Malformed(
        `DEVICE_SET_IRQS has flags 0x${flags.toString(16)}: it has one kind of data and one action`,
      );
    }
    const most = this.#count(index);
    if (start + count > most && (count > 0 || start > 0)) {
      throw new Malformed(
        `DEVICE_SET_IRQS names ${count} vectors from ${start} of index ${index}, which has ${most}`,
      );
    }
    if (data === SetIrqs.EVENTFD ? ![0, count].includes(descriptors.length) : descriptors.length) {
      throw new Malformed(
        `DEVICE_SET_IRQS comes with ${descriptors.length} descriptors for ${count} vectors`,
      );
    }
    if (action === SetIrqs.TRIGGER) this.#trigger(request, data, descriptors);
    else this.#mask(request, data, action === SetIrqs.MASK, descriptors);
  }

  /** The client goes: nothing is wanted any more. */
  [Symbol.dispose](): void {
    for (let index = 0; index < Irq.COUNT; index++) this.#turnOff(index);
  }

  #count(index: number): number {
    switch (index) {
      case Irq.INTX:
        return this.#device.config.read8(INTERRUPT_PIN) === 0 ? 0 : 1;
      case Irq.MSI:
        return this.#device.model.msi ?? 0;
      case Irq.MSIX:
        return this.#device.vectors;
      case Irq.ERR: // never signalled, but QEMU complains without
        return 1;
      case Irq.REQ:
        return 0;
      default:
        throw new Malformed(`There is no interrupt index ${index}: there are ${Irq.COUNT}`);
    }
  }

  #trigger(
    { index, start, count, data: wanted }: Request<"DEVICE_SET_IRQS">,
    data: number,
    descriptors: number[],
  ): void {
    if (data === SetIrqs.EVENTFD) {
      const given = descriptors.length > 0;
      for (let vector = start; vector < start + count; vector++) {
        this.#setLine(index, vector, given ? descriptors.shift() : undefined);
      }
    } else if (data === SetIrqs.NONE && count === 0) this.#turnOff(index);
    else {
      for (let i = 0; i < count; i++) {
        if (data === SetIrqs.BOOL && wanted[i] === 0) continue;
        this.#lines[index]!.get(start + i)?.signal();
      }
    }
  }

  #setLine(index: number, vector: number, descriptor: number | undefined): void {
    const lines = this.#lines[index]!;
    lines.get(vector)?.[Symbol.dispose]();
    lines.delete(vector);
    if (descriptor !== undefined) {
      const storms = index === Irq.MSIX && (this.#device.model.storms ?? false);
      lines.set(vector, this.#around.line(descriptor, storms));
    }
    // It is the client that has the table: what it masks has no line here.
    if (index === Irq.MSIX) this.#device.mask(vector, descriptor === undefined);
    if (index === Irq.INTX) this.#unmaskPin();
  }

  #turnOff(index: number): void {
    for (const vector of this.#lines[index]!.keys()) this.#setLine(index, vector, undefined);
    if (index !== Irq.INTX) return;
    this.#pinMasked = false;
    this.#unmasking?.[Symbol.dispose]();
    this.#unmasking = undefined;
  }

  #mask(
    { index, start, count, data: wanted }: Request<"DEVICE_SET_IRQS">,
    data: number,
    masked: boolean,
    descriptors: number[],
  ): void {
    if (index !== Irq.INTX && index !== Irq.MSIX || data === SetIrqs.EVENTFD && masked) {
      throw new Unsupported(`masking interrupts of index ${index} so`);
    }
    if (data === SetIrqs.EVENTFD) {
      if (index !== Irq.INTX) throw new Unsupported("unmasking a vector by an eventfd");
      this.#unmasking?.[Symbol.dispose]();
      const descriptor = descriptors.shift();
      this.#unmasking = descriptor === undefined
        ? undefined
        : this.#around.listen(descriptor, () => this.#unmaskPin());
      return;
    }
    for (let i = 0; i < count; i++) {
      if (data === SetIrqs.BOOL && wanted[i] === 0) continue;
      if (index === Irq.MSIX) this.#device.mask(start + i, masked);
      else if (masked) this.#pinMasked = true;
      else this.#unmaskPin();
    }
  }

  #unmaskPin(): void {
    this.#pinMasked = false;
    this.pin(this.#device.asserted);
  }
}

function isOneBit(value: number): boolean {
  return value !== 0 && (value & value - 1) === 0;
}
