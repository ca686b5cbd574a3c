import { close, eventfd, signal } from "../../linux/fd.ts";
import type { Loop } from "../../irq/interrupt_loop.ts";
import { INTERRUPT_PIN, STATUS, STATUS_INTERRUPT } from "../../pci/config_space.ts";
import type { BusFunction, ConfigAccess } from "../../pci/enumerate.ts";
import type { QemuProcess } from "./process.ts";
import type { Qtest } from "./qtest.ts";

/**
 * Interrupt pins as eventfds, for devices without MSI-X. QEMU reports on the qtest socket when an input of its I/O
 * APIC changes; pins of several functions share an input, and nothing is reported while another one holds it up.
 *
 * So a pin behaves as VFIO's do: when its line is raised it signals once and is masked, until its owner has made the
 * device lower it and unmasks it; then it signals again if the device asserts it still, or has begun to meanwhile.
 */
export interface InterruptPins {
  /** Listens to the pin of a function; undefined if it has none. */
  listen(found: BusFunction): InterruptPin | undefined;
  /** Writes again what a reset of the machine took. */
  restore(): void;
}

/** The pin of one function. */
export interface InterruptPin {
  /** Signalled when the function may have asserted its pin. */
  readonly fd: number;
  /** Lets it signal again. */
  unmask(): void;
  /** Listens no more. */
  close(): void;
}

/** How a board leads pins to inputs of its I/O APIC. */
export interface Board {
  /** The input for a device on bus 0 and its pin, 0 to 3 for INTA to INTD. */
  readonly input: (device: number, pin: number) => number;
  /** Whether pins on further root buses are led as if they were on bus 0; else it is unknown where they go. */
  readonly expands: boolean;
  /** Sets up what firmware has to. */
  readonly route?: (config: ConfigAccess) => void;
}

/** Where the PIIX leads its four lines: what SeaBIOS chooses as well. */
const PIIX_LINES = [10, 10, 11, 11];
const PIIX = { domain: 0, bus: 0, device: 1, function: 0 };
const PIIX_ROUTE = 0x60;

/** Of QEMU's two machines (QEMU, hw/isa/lpc_ich9.c and hw/pci-host/i440fx.c). */
export const BOARDS: Readonly<Record<"q35" | "pc", Board>> = {
  q35: {
    expands: false, // QEMU looks for them beyond the end of a row of its table
    input(device, pin) {
      // The board's own devices have the lines from 16 on, the slots those from 20 on.
      if (device >= 25 && device !== 30) return 16 + pin;
      return device === 30 ? 20 + pin : 20 + (device + pin) % 4;
    },
  },
  pc: {
    expands: true,
    input: (device, pin) => PIIX_LINES[(device + pin + 3) % 4]!,
    route(config) {
      PIIX_LINES.forEach((line, i) => config(PIIX).write8(PIIX_ROUTE + i, line));
    },
  },
};

/**
 * The input of the I/O APIC of each function that has an interrupt pin. Each bridge on the way turns the pins by the
 * number of the device behind it (bridge specification 1.2, 9.1).
 */
export function findInputs(
  tree: readonly BusFunction[],
  { input, expands }: Board,
): ReadonlyMap<BusFunction, number> {
  const inputs = new Map<BusFunction, number>();
  function walk(functions: readonly BusFunction[], input: Board["input"]): void {
    for (const found of functions) {
      const { device } = found.address;
      const pin = found.config.read8(INTERRUPT_PIN);
      if (pin >= 1 && pin <= 4) inputs.set(found, input(device, pin - 1));
      walk(found.behind ?? [], (inner, pin) => input(device, (inner + pin) % 4));
    }
  }
  walk(tree.filter(({ address }) => address.bus === 0 || expands), input);
  return inputs;
}

interface Listener {
  readonly fd: number;
  readonly input: number;
  readonly config: BusFunction["config"];
  masked: boolean;
}

/** What the pins of a machine are made of. */
export interface PinsOptions {
  /** The machine. */
  readonly qemu: Pick<QemuProcess, "error">;
  /** Its address spaces, and the socket behind them. */
  readonly qtest: Qtest;
  readonly qtestSocket: number;
  /** Watches the socket as long as there are listeners. */
  readonly loop: Loop;
  /** The machine's functions, and how to reach any. */
  readonly tree: readonly BusFunction[];
  readonly config: ConfigAccess;
  readonly board: Board;
}

/** Makes the pins of a machine. As long as none has a listener, nothing is different from a machine without. */
export function interruptPins(options: PinsOptions): InterruptPins {
  const { qemu, qtest, qtestSocket, loop, tree, config, board } = options;
  const listeners = new Set<Listener>();
  let inputs: ReadonlyMap<BusFunction, number> | undefined;

  function fire(listener: Listener): void {
    listener.masked = true;
    signal(listener.fd);
  }

  /** A line went up. Whose it is cannot be asked here, where an answer may be on its way; so all are told. */
  function raise(input: number): void {
    for (const listener of listeners) {
      if (listener.input === input && !listener.masked) fire(listener);
    }
  }

  /** Tells the listeners of a line that is up: it was up before they began, so it did not go up for them. */
  function look(input: number): void {
    for (const listener of listeners) {
      if (!qtest.raised(input)) return;
      if (listener.input !== input || listener.masked) continue;
      if (listener.config.read16(STATUS) & STATUS_INTERRUPT) fire(listener);
    }
  }

  /** Does something with a QEMU that may have ended; the next call that needs it is told, and this platform's owner. */
  function orGone(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!qemu.error) throw error;
      loop.remove(qtestSocket);
    }
  }

  function begin(): ReadonlyMap<BusFunction, number> {
    qtest.intercept(raise);
    board.route?.(config);
    return findInputs(tree, board);
  }

  return {
    listen(found) {
      const input = (inputs ??= begin()).get(found);
      if (input === undefined) return undefined;
      const listener: Listener = { fd: eventfd(), input, config: found.config, masked: false };
      if (listeners.size === 0) loop.add(qtestSocket, () => orGone(qtest.listen));
      listeners.add(listener);
      return {
        fd: listener.fd,
        unmask() {
          listener.masked = false;
          look(input);
        },
        close() {
          listeners.delete(listener);
          if (listeners.size === 0) loop.remove(qtestSocket);
          close(listener.fd);
          orGone(() => look(input));
        },
      };
    },
    restore() {
      if (inputs) board.route?.(config);
    },
  };
}
