// One PCI function that is bound to VFIO, taken.

import { type DeviceMemory, mapDevice } from "../../linux/device_memory.ts";
import { close, eventfd } from "../../linux/fd.ts";
import { GRANULE, memoryFile } from "../../linux/memory.ts";
import { physicalRuns } from "../../linux/physical.ts";
import { type Positioned, positioned } from "../../linux/positioned.ts";
import {
  canReset,
  CONFIG_REGION,
  countIrqs,
  Irq,
  regionInfo,
  resetDevice,
  setIrqs,
  unmaskIrq,
  type VfioRegion,
  writeOnEvent,
} from "../../linux/vfio.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_IO, COMMAND_MEMORY } from "../../pci/config_space.ts";
import { checkAccess, type Registers } from "../../pci/registers.ts";
import type {
  DevicePages,
  DmaMemory,
  DmaReach,
  Doorbell,
  OpenFunction,
} from "../../pci/function.ts";
import { Refusal } from "../refusal.ts";
import type { VfioGroup } from "./group.ts";
import { PAGE } from "../../dma/address_table.ts";
import { physicalMemory } from "./physical_memory.ts";
import { deviceRegisters, wholePages } from "./registers.ts";

/** A function to take, and what it is taken with. */
export interface VfioParts {
  readonly address: string;
  /** Its group, which is held for it; `release` gives it back. */
  readonly group: VfioGroup;
  readonly release: () => void;
  /** Why nothing keeps its DMA in bounds, if so. */
  readonly unsafeDma?: string;
  /** Whether the user accepts devices whose DMA is not kept in bounds. */
  readonly allowUnsafeDma: boolean;
}

/** What rings an eventfd. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** A BAR as this process reaches it. */
interface OpenBar {
  readonly region: VfioRegion;
  readonly registers: Registers;
  readonly calls: Positioned;
  readonly mapped: readonly DeviceMemory[];
}

/**
 * A function that was taken through VFIO.
 *
 * The kernel resets it when it is taken and when it is given back. What it can reach is mapped for it piece by piece,
 * and before it is unmapped the device loses the bus.
 */
export class VfioFunction implements OpenFunction {
  readonly config: Registers;
  readonly wanted?: number;
  readonly failed?: number;
  readonly #parts: VfioParts;
  readonly #device: number;
  readonly #configCalls: Positioned;
  readonly #bars = new Map<number, OpenBar | undefined>();
  readonly #memories: { readonly memory: DmaMemory; readonly mappedAt?: number }[] = [];
  readonly #descriptors: number[] = [];
  /** Eventfds that the kernel rings doorbells for, by what they write. */
  readonly #relays = new Map<string, number>();
  #vectors: readonly number[] | undefined;
  #usesMsix = false;
  #usesMsi = false;
  #pin: number | undefined;
  #closed = false;

  constructor(parts: VfioParts) {
    this.#parts = parts;
    this.#device = parts.group.device(parts.address);
    try {
      const { offset, size } = regionInfo(this.#device, CONFIG_REGION);
      this.#configCalls = positioned(this.#device, offset);
      this.config = deviceRegisters(size, this.#configCalls);
      const wanted = this.#listen(Irq.request);
      if (wanted !== undefined) this.wanted = wanted;
      const failed = this.#listen(Irq.error);
      if (failed !== undefined) this.failed = failed;
      this.#turnOn();
    } catch (error) {
      [this.#device, ...this.#descriptors].forEach(close);
      throw error;
    }
  }

  #listen(index: number): number | undefined {
    if (countIrqs(this.#device, index) === 0) return undefined;
    const fd = this.#eventfd();
    setIrqs(this.#device, index, [fd]);
    return fd;
  }

  #eventfd(): number {
    const fd = eventfd();
    this.#descriptors.push(fd);
    return fd;
  }

  #turnOn(): void {
    const { config } = this;
    config.write16(
      COMMAND,
      config.read16(COMMAND) | COMMAND_IO | COMMAND_MEMORY | COMMAND_BUS_MASTER,
    );
  }

  #live(): void {
    if (this.#closed) throw new Error(`Cannot use ${this.#parts.address}: it was given back`);
  }

  bar(index: number): Registers | undefined {
    return this.#bar(index)?.registers;
  }

  #bar(index: number): OpenBar | undefined {
    this.#live();
    if (!this.#bars.has(index)) this.#bars.set(index, this.#openBar(index));
    return this.#bars.get(index);
  }

  #openBar(index: number): OpenBar | undefined {
    const region = regionInfo(this.#device, index);
    if (region.size === 0) return undefined;
    const calls = positioned(this.#device, region.offset);
    const mapped: DeviceMemory[] = [];
    const parts = region.areas.flatMap(({ offset, size }) => {
      try {
        const memory = mapDevice(this.#device, region.offset + offset, size);
        mapped.push(memory);
        return [{ offset, buffer: memory.buffer }];
      } catch {
        return []; // then by calls, which is slower and does the same
      }
    });
    return { region, calls, mapped, registers: deviceRegisters(region.size, calls, parts) };
  }

  dma(bytes: number, { bypass = false, addressBits = 64 }: DmaReach = {}): DmaMemory {
    this.#live();
    const { address, group, unsafeDma, allowUnsafeDma } = this.#parts;
    if (unsafeDma !== undefined) return this.#physical(bytes, unsafeDma);
    if (bypass) {
      const reason = "it does not offer VIRTIO_F_ACCESS_PLATFORM, so its accesses bypass the IOMMU";
      if (allowUnsafeDma) return this.#physical(bytes, reason);
      throw new Refusal(
        `Cannot drive ${address}: ${reason} and would hit memory of others (virtio 1.4, 6.1). Give it the feature, ` +
          "in QEMU disable-legacy=on,iommu_platform=on; or accept that it can reach all memory: --unsafe-dma",
      );
    }
    const size = Math.ceil(bytes / GRANULE) * GRANULE;
    const fd = memoryFile("virtio-dma", size);
    this.#descriptors.push(fd);
    const mappedAt = group.map({ fd, offset: 0, size }, addressBits);
    const memory = { fd, offset: 0, size, runs: [{ address: mappedAt, length: size }] };
    this.#memories.push({ memory, mappedAt });
    return memory;
  }

  #physical(bytes: number, unsafe: string): DmaMemory {
    const memory = physicalMemory(bytes, unsafe);
    this.#descriptors.push(memory.fd);
    this.#memories.push({ memory });
    return memory;
  }

  /** Where the machine itself has memory that was given to the device: pinned, so that it stays there. */
  physical({ fd, offset, size }: DmaMemory): DmaMemory["runs"] {
    this.#live();
    return physicalRuns(fd, offset, size);
  }

  vectors(wanted: number): readonly number[] {
    this.#live();
    if (this.#vectors) {
      throw new Error(`Cannot open interrupt vectors of ${this.#parts.address} twice`);
    }
    const count = Math.min(wanted, countIrqs(this.#device, Irq.msix));
    return this.#vectors = Array.from({ length: count }, () => this.#eventfd());
  }

  useVectors(count: number): number {
    this.#live();
    const fds = (this.#vectors ?? []).slice(0, count);
    // All at once: the kernel adds none later (VFIO_IRQ_INFO_NORESIZE).
    this.#turnMessagesOff();
    if (fds.length === 0) return 0;
    // The machine may have fewer left than the device has.
    const left = setIrqs(this.#device, Irq.msix, fds);
    const missed = left !== 0 && setIrqs(this.#device, Irq.msix, fds.slice(0, left)) !== 0;
    this.#usesMsix = !missed;
    return missed ? 0 : left || fds.length;
  }

  #turnMessagesOff(): void {
    if (this.#usesMsix) setIrqs(this.#device, Irq.msix, []);
    if (this.#usesMsi) setIrqs(this.#device, Irq.msi, []);
    this.#usesMsix = this.#usesMsi = false;
  }

  msi(): number | undefined {
    this.#live();
    if (countIrqs(this.#device, Irq.msix) > 0 || countIrqs(this.#device, Irq.msi) === 0) {
      return undefined;
    }
    const fd = this.#eventfd();
    this.#usesMsi = setIrqs(this.#device, Irq.msi, [fd]) === 0;
    return this.#usesMsi ? fd : undefined;
  }

  intx(): number | undefined {
    this.#live();
    this.#turnMessagesOff();
    this.#pin ??= this.#listen(Irq.intx);
    return this.#pin;
  }

  unmaskIntx(): void {
    this.#live();
    if (this.#pin !== undefined) unmaskIrq(this.#device, Irq.intx);
  }

  pages(index: number, offset: number, bytes: number): DevicePages | undefined {
    const region = this.#bar(index)?.region;
    const pages = region && wholePages(region.areas, offset, bytes);
    return pages && { fd: this.#device, page: region.offset + pages.start, bytes: pages.bytes };
  }

  /**
   * One store where the page of the register can be mapped. Else the kernel writes when an eventfd is signalled: a
   * process that has that descriptor can ring, and do nothing else.
   */
  doorbell(index: number, offset: number, value: number, width: 2 | 4): Doorbell {
    const bar = this.#bar(index);
    if (!bar) throw new RangeError(`Cannot find BAR ${index} of ${this.#parts.address}`);
    const { region } = bar;
    checkAccess(region.size, offset, width);
    const pages = this.pages(index, offset, width);
    if (pages) return { fd: this.#device, page: pages.page, at: offset % PAGE, width, value };
    const key = `${index} ${offset} ${value} ${width}`;
    let fd = this.#relays.get(key);
    if (fd === undefined) {
      this.#relays.set(key, fd = this.#eventfd());
      writeOnEvent(this.#device, { offset: region.offset + offset, width, value }, fd);
    }
    return { fd, message: ONE };
  }

  takeAnswers(): void {
    // Nothing answers.
  }

  restore(): void {
    this.#live();
    this.#turnOn();
    // A driver that was told before may never have come to unmask it.
    this.unmaskIntx();
  }

  reset(): void {
    this.#live();
    if (canReset(this.#device)) resetDevice(this.#device);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    const { group, release } = this.#parts;
    using stack = new DisposableStack();
    // In the opposite order: no bus, no interrupts, no registers, no device (which resets it); then its memory goes.
    stack.defer(release);
    for (const fd of this.#descriptors) stack.adopt(fd, close);
    for (const { memory, mappedAt } of this.#memories) {
      if (mappedAt !== undefined) stack.defer(() => group.unmap(mappedAt, memory.size));
    }
    stack.adopt(this.#device, close);
    stack.defer(() => this.#configCalls.end());
    for (const bar of this.#bars.values()) {
      if (!bar) continue;
      stack.defer(() => bar.calls.end());
      for (const memory of bar.mapped) stack.defer(() => memory.unmap());
    }
    if (this.#pin !== undefined) stack.defer(() => setIrqs(this.#device, Irq.intx, []));
    stack.defer(() => this.#turnMessagesOff());
    stack.defer(() => {
      const { config } = this;
      config.write16(COMMAND, config.read16(COMMAND) & ~COMMAND_BUS_MASTER);
    });
  }
}
