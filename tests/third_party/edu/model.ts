/**
 * The educational device in software, as QEMU has it (docs/specs/edu.rst): for tests of its driver, and to run without QEMU.
 *
 * @module
 */

import {
  DriverFault,
  type FunctionHandle,
  type FunctionModel,
  type Width,
} from "@virtio/deno/simulation";
import { BUFFER, Cause, DmaCommand, EDU, EduStatus, Register } from "./registers.ts";

/** Version 1.0 in the upper bytes. */
const IDENTITY = 0x0100_0000 | EDU;

/** Bits of an address that its DMA has; what is above is lost. */
const ADDRESS_BITS = 28;

/** An educational device. */
export class EduModel implements FunctionModel {
  readonly vendor = 0x1234;
  readonly device = 0x11e8;
  readonly classCode = 0x00ff00;
  readonly revision = 0x10;
  readonly bars = { 0: { bytes: 2 ** 20 } };
  readonly msi = 1;

  #handle!: FunctionHandle;
  readonly #buffer = new Uint8Array(BUFFER.bytes);
  /** What the registers that can be read hold. */
  readonly #registers = new Map<number, number>();

  constructor() {
    this.reset();
  }

  attach(handle: FunctionHandle): void {
    this.#handle = handle;
  }

  read(_bar: number, offset: number, width: Width): number {
    const value = width === 4 ? this.#registers.get(offset) : undefined;
    return value ?? 0xffffffff;
  }

  write(_bar: number, offset: number, width: Width, value: number): void {
    if (width !== 4) return;
    switch (offset) {
      case Register.liveness:
        this.#set(offset, ~value);
        break;
      case Register.factorial:
        this.#set(offset, value);
        this.#set(Register.status, this.#get(Register.status) | EduStatus.computing);
        break;
      case Register.status:
        this.#set(offset, value & EduStatus.interrupt);
        break;
      case Register.raise:
        this.#raise(value);
        break;
      case Register.acknowledge:
        this.#set(Register.interruptStatus, this.#get(Register.interruptStatus) & ~value);
        if (this.#get(Register.interruptStatus) === 0) this.#handle.pin(false);
        break;
      case Register.source:
      case Register.destination:
      case Register.count:
      case Register.command:
        this.#set(offset, value);
    }
  }

  process(): boolean {
    const status = this.#get(Register.status);
    if (status & EduStatus.computing) {
      this.#set(Register.factorial, factorial(this.#get(Register.factorial)));
      this.#set(Register.status, status & ~EduStatus.computing);
      if (status & EduStatus.interrupt) this.#raise(Cause.factorial);
    }
    const command = this.#get(Register.command);
    if (command & DmaCommand.start) {
      this.#set(Register.command, command & ~DmaCommand.start);
      this.#copy((command & DmaCommand.toMemory) !== 0);
      if (command & DmaCommand.interrupt) this.#raise(Cause.dma);
    }
    return false;
  }

  reset(): void {
    for (const offset of Object.values(Register)) this.#set(offset, 0);
    this.#set(Register.identity, IDENTITY);
    this.#buffer.fill(0);
  }

  #get(offset: number): number {
    return this.#registers.get(offset)!;
  }

  #set(offset: number, value: number): void {
    this.#registers.set(offset, value >>> 0);
  }

  #raise(causes: number): void {
    this.#set(Register.interruptStatus, this.#get(Register.interruptStatus) | causes);
    // The driver hears one of them.
    this.#handle.pin(true);
    this.#handle.interrupt(0);
  }

  #copy(toMemory: boolean): void {
    const [source, destination] = [this.#get(Register.source), this.#get(Register.destination)];
    const count = this.#get(Register.count);
    const at = (toMemory ? source : destination) - BUFFER.address;
    if (at < 0 || at + count > BUFFER.bytes) {
      throw new DriverFault(`The buffer has no ${count} bytes at ${at}`);
    }
    const bytes = this.#buffer.subarray(at, at + count);
    const address = (toMemory ? destination : source) % 2 ** ADDRESS_BITS;
    if (toMemory) this.#handle.memory.write(address, bytes);
    else this.#handle.memory.read(address, bytes);
  }
}

function factorial(n: number): number {
  let result = 1;
  for (let i = n; i > 1 && result !== 0; i--) result = Math.imul(result, i);
  return result;
}
