import { formatAddress } from "../../pci/address.ts";
import type { AssignedBar } from "../../pci/assign.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_IO, COMMAND_MEMORY } from "../../pci/config_space.ts";
import type { BusFunction } from "../../pci/enumerate.ts";
import { disableMsix, enableMsix, findMsix } from "../../pci/msix.ts";
import { checkAccess } from "../../pci/registers.ts";
import type { DmaMemory, OpenFunction, PciFunction } from "../platform.ts";
import type { GuestMemory } from "./guest_memory.ts";
import type { Interrupt, Interrupts } from "./interrupts.ts";
import type { QemuProcess } from "./process.ts";
import { memoryRegisters, type Qtest, writeCommand } from "./qtest.ts";

/** What all functions of a machine share. */
export interface Machine {
  /** The process that it is. */
  readonly qemu: QemuProcess;
  /** Its address spaces. */
  readonly qtest: Qtest;
  /** The socket behind them. */
  readonly qtestSocket: number;
  /** How many doorbells one function may ring before it must settle. */
  readonly credits: number;
  /** Its RAM. */
  readonly memory: GuestMemory;
  /** Its eventfds. */
  readonly interrupts: Interrupts;
}

/** Makes a function of QEMU's machine one of the platform. */
export function qemuFunction(
  machine: Machine,
  found: BusFunction,
  bars: readonly AssignedBar[],
  refusal?: string,
): PciFunction {
  const address = formatAddress(found.address);
  let taken = false;
  return {
    address,
    config: found.config,
    ...(refusal === undefined ? {} : { refusal }),
    open() {
      if (refusal !== undefined) throw new Error(`Cannot take ${address}: ${refusal}`);
      if (taken) throw new Error(`Cannot take ${address}: it is taken already; dispose that first`);
      taken = true;
      return openFunction(machine, address, found, bars, () => taken = false);
    },
  };
}

function openFunction(
  { qemu, qtest, qtestSocket, credits, memory, interrupts }: Machine,
  address: string,
  { config }: BusFunction,
  bars: readonly AssignedBar[],
  released: () => void,
): OpenFunction {
  const allocations: DmaMemory[] = [];
  let taken: readonly Interrupt[] | undefined;
  let closed = false;

  const msix = findMsix(config);
  command(COMMAND_BUS_MASTER | COMMAND_MEMORY | (bars.some(isUsableIo) ? COMMAND_IO : 0), 0);

  function command(set: number, cleared: number): void {
    config.write16(COMMAND, config.read16(COMMAND) & ~cleared | set);
  }

  function live(): void {
    if (closed) throw new Error(`Cannot use ${address}: it was given back`);
  }

  /** A memory BAR and where it is. */
  function memoryBar(index: number): { start: number; size: number } | undefined {
    const bar = bars.find((bar) => bar.index === index && bar.space === "memory");
    if (!bar) return undefined;
    if (bar.address === undefined) {
      throw new RangeError(
        `Cannot reach BAR ${index} of ${address}: no room for its ${bar.size} bytes`,
      );
    }
    return { start: bar.address, size: bar.size };
  }

  function registers(index: number) {
    const bar = memoryBar(index);
    return bar && memoryRegisters(qtest, bar.start, bar.size);
  }

  return {
    config,
    bar(index) {
      live();
      return registers(index);
    },
    dma(bytes) {
      live();
      const allocation = memory.take(bytes);
      allocations.push(allocation);
      return allocation;
    },
    vectors(wanted) {
      live();
      if (!Number.isInteger(wanted) || wanted < 0) {
        throw new RangeError(`Cannot open ${wanted} interrupt vectors of ${address}`);
      }
      if (taken) throw new Error(`Cannot open interrupt vectors of ${address} twice`);
      const table = msix && registers(msix.bar);
      taken = table ? interrupts.take(Math.min(wanted, msix.vectors)) : [];
      if (table && taken.length > 0) enableMsix(config, msix, table, taken.map(interrupts.message));
      return taken.map(({ fd }) => fd);
    },
    doorbell(index, offset, value, width) {
      live();
      const bar = memoryBar(index);
      if (!bar) throw new RangeError(`Cannot find memory BAR ${index} of ${address}`);
      checkAccess(bar.size, offset, width);
      return { fd: qtestSocket, message: writeCommand(width, bar.start + offset, value), credits };
    },
    settle() {
      live();
      qtest.settle();
    },
    [Symbol.dispose]() {
      if (closed) return;
      closed = true;
      released();
      if (qemu.error) return; // there is no machine any more, and no other function to give anything to
      try {
        // First the device loses the bus, so that it can neither write memory nor signal; then, when that has
        // been done for certain, what it could reach is given to others. (Who drives a device resets it before:
        // QEMU finishes a request that it had begun even without the bus.)
        command(0, COMMAND_BUS_MASTER);
        if (msix && taken) disableMsix(config, msix);
        command(0, COMMAND_MEMORY | COMMAND_IO);
        qtest.settle();
      } catch (error) {
        if (qemu.error) return;
        throw error;
      }
      for (const allocation of allocations) memory.give(allocation);
      interrupts.give(taken ?? []);
    },
  };
}

function isUsableIo({ space, address }: AssignedBar): boolean {
  return space === "io" && address !== undefined;
}
