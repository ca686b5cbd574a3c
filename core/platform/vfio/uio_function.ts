// One PCI function that is bound to uio_pci_generic, taken.

import { type DeviceMemory, mapDevice } from "../../linux/device_memory.ts";
import { close, eventfd, read, signal } from "../../linux/fd.ts";
import { exists, open, openAlone, readFolder, readText } from "../../linux/file.ts";
import { advise } from "../../linux/os_error.ts";
import { physicalRuns } from "../../linux/physical.ts";
import { type Positioned, positioned } from "../../linux/positioned.ts";
import { DoorbellRelay } from "../../irq/doorbell_relay.ts";
import type { Loop } from "../../irq/interrupt_loop.ts";
import { PAGE } from "../../dma/address_table.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
} from "../../pci/config_space.ts";
import { checkAccess, type Registers } from "../../pci/registers.ts";
import type {
  DevicePages,
  DmaMemory,
  DmaReach,
  Doorbell,
  OpenFunction,
} from "../../pci/function.ts";
import { Refusal } from "../refusal.ts";
import { physicalMemory } from "./physical_memory.ts";
import { deviceRegisters, wholePages } from "./registers.ts";
import { attribute } from "./sysfs.ts";

/** A function to take, and what it is taken with. */
export interface UioParts {
  readonly address: string;
  /** Its folder in sysfs. */
  readonly folder: string;
  /** Where the devices are mounted. */
  readonly dev: string;
  /** Waits for its interrupt, and for doorbells that are ports. */
  readonly loop: Loop;
  /** Why nothing keeps its DMA in bounds. */
  readonly unsafeDma: string;
}

/** A BAR as sysfs has it (`resource`). */
interface Resource {
  readonly size: number;
  readonly isIo: boolean;
}

interface OpenBar extends Resource {
  readonly fd: number;
  readonly calls: Positioned;
  readonly mapped?: DeviceMemory;
  readonly registers: Registers;
}

const IORESOURCE_IO = 0x100;
/** What a read of a uio device gives: how many interrupts there were. */
const COUNT_BYTES = 4;
const CONFIG_BYTES = 256;

/** The device file of a function that is bound to uio_pci_generic; undefined if it has none. */
export function uioPath(folder: string, dev: string): string | undefined {
  if (!exists(`${folder}/uio`)) return undefined;
  const [name] = readFolder(`${folder}/uio`);
  return name === undefined ? undefined : `${dev}/${name}`;
}

/**
 * A function that was taken through uio_pci_generic: registers are files of sysfs, memory is huge pages by their physical
 * addresses, and the only interrupt is the pin. Nothing keeps the device from reaching all memory.
 */
export class UioFunction implements OpenFunction {
  readonly config: Registers;
  readonly #parts: UioParts;
  readonly #stack = new DisposableStack();
  readonly #configCalls: Positioned;
  /** Its interrupts; the process that has it alone has the function. */
  readonly #uio: number;
  readonly #resources: readonly Resource[];
  readonly #bars = new Map<number, OpenBar | undefined>();
  #relay: DoorbellRelay | undefined;
  #pin: number | undefined;
  #closed = false;

  constructor(parts: UioParts) {
    this.#parts = parts;
    const { folder, dev, address } = parts;
    const path = uioPath(folder, dev);
    if (path === undefined) throw new Error(`Cannot take ${address}: it has no device file`);
    using taking = new DisposableStack();
    this.#uio = taking.adopt(
      advise(`Cannot take ${address}`, {
        EAGAIN: "another program holds it; end that one first",
      }, () => openAlone(path)),
      close,
    );
    const fd = taking.adopt(open(`${folder}/config`, 2), close);
    this.#configCalls = positioned(fd, 0);
    this.config = deviceRegisters(CONFIG_BYTES, this.#configCalls);
    this.#resources = readText(`${folder}/resource`).trimEnd().split("\n").map((line) => {
      const [start = 0, end = 0, flags = 0] = line.split(" ").map(Number);
      return { size: end === 0 ? 0 : end - start + 1, isIo: (flags & IORESOURCE_IO) !== 0 };
    });
    this.#stack.use(taking.move());
    this.restore();
  }

  #live(): void {
    if (this.#closed) throw new Error(`Cannot use ${this.#parts.address}: it was given back`);
  }

  #command(set: number, cleared: number): void {
    this.config.write16(COMMAND, this.config.read16(COMMAND) & ~cleared | set);
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
    const resource = this.#resources[index];
    if (!resource || resource.size === 0) return undefined;
    const { size, isIo } = resource;
    // A memory BAR that is smaller than a page may begin anywhere in its page: the window does for those.
    if (!isIo && size % PAGE !== 0) return undefined;
    const fd = this.#stack.adopt(open(`${this.#parts.folder}/resource${index}`, 2), close);
    const calls = positioned(fd, 0);
    this.#stack.defer(() => calls.end());
    if (isIo) return { size, isIo, fd, calls, registers: deviceRegisters(size, calls) };
    const mapped = this.#stack.adopt(mapDevice(fd, 0, size), (memory) => memory.unmap());
    const registers = deviceRegisters(size, calls, [{ offset: 0, buffer: mapped.buffer }]);
    return { size, isIo, fd, calls, mapped, registers };
  }

  dma(bytes: number, { bypass = false }: DmaReach = {}): DmaMemory {
    this.#live();
    const { address, folder, unsafeDma } = this.#parts;
    const translation = attribute(`${folder}/iommu_group/type`);
    if (!bypass && translation !== undefined && translation !== "identity") {
      throw new Refusal(
        `Cannot drive ${address} through uio_pci_generic: its accesses go through an IOMMU that is not set up. ` +
          `Bind it to VFIO: bind ${address} --driver vfio-pci`,
      );
    }
    const memory = physicalMemory(bytes, unsafeDma);
    this.#stack.adopt(memory.fd, close);
    return memory;
  }

  /** Where the machine has that memory: huge pages stay where they are. */
  physical({ fd, offset, size }: DmaMemory): DmaMemory["runs"] {
    this.#live();
    return physicalRuns(fd, offset, size);
  }

  vectors(): readonly number[] {
    return []; // uio_pci_generic knows the pin only
  }

  intx(): number | undefined {
    this.#live();
    if (this.#pin !== undefined) return this.#pin;
    const pin = this.#pin = this.#stack.adopt(eventfd(), close);
    const { loop } = this.#parts;
    const count = new Uint8Array(COUNT_BYTES);
    this.#stack.defer(() => loop.remove(this.#uio));
    loop.add(this.#uio, () => {
      // The kernel has turned the pin off, and it stays so until it is unmasked.
      read(this.#uio, count);
      signal(pin);
    });
    this.unmaskIntx();
    return pin;
  }

  unmaskIntx(): void {
    this.#live();
    if (this.#pin !== undefined) this.#command(0, COMMAND_INTX_DISABLE);
  }

  pages(index: number, offset: number, bytes: number): DevicePages | undefined {
    const bar = this.#bar(index);
    const pages = bar?.mapped && wholePages([{ offset: 0, size: bar.size }], offset, bytes);
    return pages && { fd: bar.fd, page: pages.start, bytes: pages.bytes };
  }

  doorbell(index: number, offset: number, value: number, width: 2 | 4): Doorbell {
    const bar = this.#bar(index);
    if (!bar) throw new RangeError(`Cannot find BAR ${index} of ${this.#parts.address}`);
    checkAccess(bar.size, offset, width);
    const pages = this.pages(index, offset, width);
    if (pages) return { fd: pages.fd, page: pages.page, at: offset % PAGE, width, value };
    const { registers } = bar;
    this.#relay ??= this.#stack.use(new DoorbellRelay(this.#parts.loop));
    return this.#relay.add(
      value,
      width === 2 ? () => registers.write16(offset, value) : () => registers.write32(offset, value),
    );
  }

  takeAnswers(): void {
    // Nothing answers.
  }

  restore(): void {
    this.#live();
    this.#command(COMMAND_IO | COMMAND_MEMORY | COMMAND_BUS_MASTER, 0);
    this.unmaskIntx();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    // The driver has reset it; without the bus it can do nothing more. Then its memory may go.
    this.#command(COMMAND_INTX_DISABLE, COMMAND_BUS_MASTER);
    this.#closed = true;
    this.#configCalls.end();
    this.#stack[Symbol.dispose]();
  }
}
