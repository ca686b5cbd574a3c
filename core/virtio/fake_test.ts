import type { Doorbell, OpenFunction } from "../pci/function.ts";
import { byteRegisters } from "../pci/byte_registers.ts";
import { readWidth, type Registers, window, writeWidth } from "../pci/registers.ts";

/** A vendor-specific capability as a virtio device has it (virtio 1.4, 4.1.4). */
export interface Capability {
  readonly type: number;
  readonly bar?: number;
  readonly offset?: number;
  readonly length?: number;
  /** The notification multiplier. */
  readonly multiplier?: number;
  /** What it says of its own length; what is right if absent. */
  readonly bytes?: number;
  /** Its id; that of vendor-specific ones if absent. */
  readonly id?: number;
}

/** What an honest device has. */
export const COMMON: Capability = { type: 1, bar: 4, offset: 0, length: 0x40 };
export const NOTIFY: Capability = { type: 2, bar: 4, offset: 0x3000, length: 0x100, multiplier: 4 };
export const ISR: Capability = { type: 3, bar: 4, offset: 0x1000, length: 1 };
export const SPECIFIC: Capability = { type: 4, bar: 4, offset: 0x2000, length: 0x40 };

/** A configuration space with these capabilities, in this order. */
export function configSpace(capabilities: readonly Capability[]): Registers {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  bytes[0x06] = 0x10;
  let at = 0x40;
  bytes[0x34] = capabilities.length > 0 ? at : 0;
  capabilities.forEach(
    ({ type, bar = 0, offset = 0, length = 0, multiplier, bytes: said, id }, i) => {
      const own = multiplier === undefined ? 16 : 20;
      const next = i === capabilities.length - 1 ? 0 : at + own;
      bytes.set([id ?? 9, next, said ?? own, type, bar], at);
      view.setUint32(at + 8, offset, true);
      view.setUint32(at + 12, length, true);
      if (multiplier !== undefined) view.setUint32(at + 16, multiplier, true);
      at += own;
    },
  );
  return byteRegisters(bytes);
}

/** What happens at registers: each access, in order, for example `"w16 0x18 = 8"`. */
export interface FakeOptions {
  readonly capabilities?: readonly Capability[];
  /** What a read gives instead of what was written before. */
  readonly read?: (offset: number, value: number, width: number) => number | undefined;
  /** Called at a write; it may say what is stored instead. */
  readonly write?: (offset: number, value: number, width: number) => number | undefined;
}

/** A taken function whose registers are memory, for the tests beside. */
export class FakeDevice implements OpenFunction {
  readonly config: Registers;
  /** BAR 4. */
  readonly bytes = new Uint8Array(0x4000);
  readonly log: string[] = [];
  readonly #bar: Registers;

  constructor({ capabilities = [COMMON, NOTIFY, ISR, SPECIFIC], read, write }: FakeOptions = {}) {
    this.config = configSpace(capabilities);
    const memory = byteRegisters(this.bytes);
    this.#bar = window(
      memory.size,
      (offset, width) => {
        const is = readWidth(memory, offset, width);
        return read?.(offset, is, width) ?? is;
      },
      (offset, width, value) => {
        this.log.push(`w${8 * width} 0x${offset.toString(16)} = ${value}`);
        writeWidth(memory, offset, width, write?.(offset, value, width) ?? value);
      },
    );
    memory.write16(0x12, 2);
  }

  bar(index: number): Registers | undefined {
    return index === 4 ? this.#bar : undefined;
  }

  doorbell(bar: number, offset: number, value: number, width: 2 | 4): Doorbell {
    return { fd: bar, message: Uint8Array.of(offset >> 8, offset & 255, value, width) };
  }

  dma(): never {
    throw new Error("This device has no memory");
  }

  vectors(): readonly number[] {
    return [];
  }

  takeAnswers(): void {}

  [Symbol.dispose](): void {}
}
