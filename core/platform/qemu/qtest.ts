// QEMU's qtest protocol: memory, ports, interrupts and doorbells.

import { type Registers, type Width, window } from "../../pci/registers.ts";
import type { Lines } from "./lines.ts";
import type { QemuProcess } from "./process.ts";

/**
 * The machine's address spaces, through QEMU's qtest protocol (QEMU, docs/devel/qtest.rst).
 *
 * Writes are posted, as on a real bus: they return before they have arrived, and arrive in order. A read comes
 * after all writes before it.
 */
export interface Qtest {
  /** Reads memory or registers; 0 where there is nothing. */
  read(width: Width, address: number): number;
  /** Writes memory or registers; nothing happens where there is nothing. */
  write(width: Width, address: number, value: number): void;
  /** Reads an I/O port. */
  in(width: Width, port: number): number;
  /** Writes an I/O port. */
  out(width: Width, port: number, value: number): void;
  /** Waits until everything that was sent before has been done, by whatever process, and takes the answers. */
  takeAnswers(): void;
  /** Lets QEMU report its interrupt lines from now on; `raise` is called with each line that is raised. */
  intercept(raise: (line: number) => void): void;
  /** Takes what QEMU has said unasked. */
  listen(): void;
  /** Whether an interrupt line is raised, as far as QEMU was told to report it. */
  raised(line: number): boolean;
}

const SUFFIX = { 1: "b", 2: "w", 4: "l" } as const;
/**
 * How many writes may be unanswered. QEMU stops altogether at about 278 unread answers, counted with those to
 * doorbells that other processes ring on the same socket (see `DOORBELLS`).
 */
const POSTED = 64;
/** How many doorbells all drivers together may ring before answers are taken. */
export const DOORBELLS = 192;

const encoder = new TextEncoder();

/**
 * The bytes that make QEMU write `value`; they may be sent by any process that holds the socket, in one piece.
 */
export function writeCommand(
  width: Width,
  address: number,
  value: number,
): Uint8Array<ArrayBuffer> {
  return encoder.encode(`write${SUFFIX[width]} ${hex(address)} ${hex(value)}\n`);
}

/** As {@linkcode writeCommand}, for an I/O port. */
export function outCommand(width: Width, port: number, value: number): Uint8Array<ArrayBuffer> {
  return encoder.encode(`out${SUFFIX[width]} ${hex(port)} ${hex(value)}\n`);
}

/** QEMU aborts on a number that it cannot read, so none but these reach it. */
function hex(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot pass ${value} to QEMU: not a non-negative integer`);
  }
  return `0x${value.toString(16)}`;
}

/** Speaks qtest over `lines`. */
export function openQtest(lines: Lines, qemu: Pick<QemuProcess, "fail">): Qtest {
  const levels = new Set<number>();
  let raise: ((line: number) => void) | undefined;
  let posted = 0;

  function post(command: Uint8Array<ArrayBuffer>): void {
    lines.send(command);
    if (++posted >= POSTED) takeAnswers();
  }

  /**
   * Only reads are answered with a value, and only one is under way at a time. Bare `OK`s tell nothing: they
   * also answer the doorbells of other processes.
   */
  function ask(command: string): number {
    lines.send(encoder.encode(command));
    for (let line: string | undefined;;) {
      const value = understand(lines.next());
      if (value !== undefined) {
        posted = 0;
        // What came together with the answer is off the socket, so that it would wake no poll.
        while (raise && (line = lines.nextReceived()) !== undefined) understand(line);
        return value;
      }
    }
  }

  function listen(): void {
    // What is not received yet wakes again: others first.
    let line = lines.nextWithin(0);
    for (; line !== undefined; line = lines.nextReceived()) understand(line);
  }

  function understand(line: string): number | undefined {
    if (line === "OK") return undefined;
    if (line.startsWith("OK 0x")) return Number(line.slice(3));
    const [word, direction, number] = line.split(" ");
    if (word !== "IRQ") {
      // Our own commands are well formed; after another writer's, answers can no longer be told apart.
      throw qemu.fail(`it refused a qtest command with ${JSON.stringify(line)}`, 0);
    }
    if (direction === "raise") {
      levels.add(Number(number));
      raise?.(Number(number));
    } else levels.delete(Number(number));
    return undefined;
  }

  function takeAnswers(): void {
    ask("readb 0x0\n");
  }

  return {
    read: (width, address) => ask(`read${SUFFIX[width]} ${hex(address)}\n`),
    write: (width, address, value) => post(writeCommand(width, address, value)),
    in: (width, port) => ask(`in${SUFFIX[width]} ${hex(port)}\n`),
    out: (width, port, value) => post(outCommand(width, port, value)),
    takeAnswers,
    intercept(listener) {
      raise = listener;
      // It is there once, and both machines have the I/O APIC that all lines lead to.
      post(encoder.encode("irq_intercept_in ioapic\n"));
    },
    listen,
    raised: (line) => levels.has(line),
  };
}

/** The registers behind a BAR at `start` of its address space. */
export function barRegisters(
  qtest: Qtest,
  space: "memory" | "io",
  start: number,
  size: number,
): Registers {
  const [read, write] = space === "memory" ? [qtest.read, qtest.write] : [qtest.in, qtest.out];
  return window(
    size,
    (offset, width) => read(width, start + offset),
    (offset, width, value) => write(width, start + offset, value),
  );
}
