// One PCI function of a QEMU, taken.

import { formatAddress } from "../../pci/address.ts";
import { type AssignedBar, noRoom, reassign } from "../../pci/assign.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MEMORY,
} from "../../pci/config_space.ts";
import type { BusFunction } from "../../pci/enumerate.ts";
import { disableMsi, enableMsi, findMsi, isMsiEnabled } from "../../pci/msi.ts";
import { disableMsix, enableMsix, findMsix, isMsixEnabled } from "../../pci/msix.ts";
import { checkAccess } from "../../pci/registers.ts";
import type { DmaMemory, OpenFunction, PciFunction } from "../../pci/function.ts";
import type { GuestMemory } from "./guest_memory.ts";
import type { InterruptPin, InterruptPins } from "./interrupt_pins.ts";
import { type Interrupts, MOST_VECTORS, type Vectors } from "./interrupts.ts";
import type { QemuProcess } from "./process.ts";
import { barRegisters, outCommand, type Qtest, writeCommand } from "./qtest.ts";

/** What all functions of a machine share. */
export interface Machine {
  /** The process that it is. */
  readonly qemu: QemuProcess;
  /** Its address spaces. */
  readonly qtest: Qtest;
  /** The socket behind them. */
  readonly qtestSocket: number;
  /** How many doorbells one function may ring before it must take answers. */
  readonly credits: number;
  /** Its RAM. */
  readonly memory: GuestMemory;
  /** Eventfds that its functions signal. */
  readonly interrupts: Interrupts;
  /** Its interrupt pins; undefined if no loop waits for them. */
  readonly pins: InterruptPins | undefined;
  /** Makes functions reachable again, if the machine was reset. */
  restore(): void;
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
  const lacks = [...bars.map(noRoom), found.unseen].filter((reason) => reason !== undefined);
  return {
    address,
    config: found.config,
    ...(lacks.length === 0 ? {} : { noRoom: lacks.join("; ") }),
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
  machine: Machine,
  address: string,
  found: BusFunction,
  bars: readonly AssignedBar[],
  released: () => void,
): OpenFunction {
  const { qemu, qtest, qtestSocket, credits, memory, interrupts, pins } = machine;
  const { config } = found;
  const allocations: DmaMemory[] = [];
  let taken: Vectors | undefined;
  let usesMsix = false;
  let usesMsi = false;
  let pin: InterruptPin | undefined;
  let closed = false;

  const barOf = (index: number) =>
    bars.find((bar) => bar.index === index && bar.address !== undefined);
  const msix = findMsix(config, (index) => {
    const bar = barOf(index);
    return bar?.space === "memory" ? bar.size : undefined;
  });
  const msi = findMsi(config);
  turnOn();

  function command(set: number, cleared: number): void {
    config.write16(COMMAND, config.read16(COMMAND) & ~cleared | set);
  }

  /** Makes the function answer and reach memory; it asserts its pin only if a listener is there. */
  function turnOn(): void {
    machine.restore();
    reassign(config, bars);
    const io = bars.some(({ space, address }) => space === "io" && address !== undefined);
    const on = COMMAND_BUS_MASTER | COMMAND_MEMORY | (io ? COMMAND_IO : 0);
    if (pin) command(on, COMMAND_INTX_DISABLE);
    else command(on | COMMAND_INTX_DISABLE, 0);
  }

  function turnMsixOn(): void {
    if (!taken || taken.fds.length === 0) return;
    usesMsix = true;
    enableMsix(config, msix!, registers(msix!.bar)!, taken.messages);
  }

  function turnMsiOn(): void {
    usesMsi = true;
    enableMsi(config, msi!, taken!.messages[0]!);
  }

  /** With one of them turned on, it never asserts its pin (PCI 3.0, 6.8.3.3). */
  function turnMessagesOff(): void {
    if (usesMsix) disableMsix(config, msix!);
    if (usesMsi) disableMsi(config, msi!);
    usesMsix = usesMsi = false;
  }

  function live(): void {
    if (closed) throw new Error(`Cannot use ${address}: it was given back`);
  }

  function registers(index: number) {
    const bar = barOf(index);
    return bar && barRegisters(qtest, bar.space, bar.address!, bar.size);
  }

  return {
    config,
    bar(index) {
      live();
      return registers(index);
    },
    noRoom(index) {
      const bar = bars.find((each) => each.index === index);
      return bar && noRoom(bar);
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
      if (!msix) return [];
      taken = interrupts.open(Math.min(wanted, msix.vectors, MOST_VECTORS));
      turnMsixOn();
      return taken.fds;
    },
    msi() {
      live();
      if (!msi || msix || taken) return undefined;
      taken = interrupts.openShort();
      if (taken) turnMsiOn();
      return taken?.fds[0];
    },
    intx() {
      live();
      turnMessagesOff();
      if (!pin) {
        pin = pins?.listen(found);
        if (pin) command(0, COMMAND_INTX_DISABLE);
      }
      return pin?.fd;
    },
    unmaskIntx() {
      live();
      pin?.unmask();
    },
    doorbell(index, offset, value, width) {
      live();
      const bar = barOf(index);
      if (!bar) {
        throw new RangeError(`Cannot find BAR ${index} of ${address}, or it has no address`);
      }
      checkAccess(bar.size, offset, width);
      const ring = bar.space === "memory" ? writeCommand : outCommand;
      return { fd: qtestSocket, message: ring(width, bar.address! + offset, value), credits };
    },
    takeAnswers() {
      live();
      qtest.takeAnswers();
    },
    restore() {
      live();
      turnOn();
      if (usesMsix && !isMsixEnabled(config)) turnMsixOn();
      if (usesMsi && !isMsiEnabled(config, msi!)) turnMsiOn();
      // A driver that was told before the reset may never have come to unmask it.
      pin?.unmask();
    },
    [Symbol.dispose]() {
      if (closed) return;
      closed = true;
      released();
      try {
        if (qemu.error) return; // there is no machine any more, and no other function to give anything to
        // First the device loses the bus, so that it can neither write memory nor signal; then, when that has
        // been done for certain, what it could reach is given to others. (A kernel resets a device before:
        // QEMU finishes a request that it had begun even without the bus.)
        command(COMMAND_INTX_DISABLE, COMMAND_BUS_MASTER);
        turnMessagesOff();
        command(0, COMMAND_MEMORY | COMMAND_IO);
        qtest.takeAnswers();
        for (const allocation of allocations) memory.give(allocation);
      } catch (error) {
        if (!qemu.error) throw error;
      } finally {
        taken?.[Symbol.dispose]();
        pin?.close();
      }
    },
  };
}
