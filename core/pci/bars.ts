// Base address registers: their kinds, sizes and values.

import {
  BAR0,
  BAR_IO,
  BAR_MEMORY_64,
  BAR_MEMORY_PREFETCHABLE,
  COMMAND,
  COMMAND_IO,
  COMMAND_MEMORY,
  HEADER_TYPE,
  HEADER_TYPE_BRIDGE,
  HEADER_TYPE_DEVICE,
  HEADER_TYPE_LAYOUT,
} from "./config_space.ts";
import type { Registers } from "./registers.ts";

/** A base address register: what it asks for. */
export interface Bar {
  /** Number of the register, 0 to 5; a 64-bit BAR takes the next number too. */
  readonly index: number;
  /** Which address space it is in. */
  readonly space: "memory" | "io";
  /** Width of its addresses. */
  readonly bits: 32 | 64;
  /** Whether reads have no side effects. */
  readonly prefetchable: boolean;
  /** Length in bytes, a power of two; its address is a multiple of it. */
  readonly size: number;
}

/**
 * Finds the BARs of a function and their sizes (PCI 3.0, 6.2.5.1): all ones are written and the bits that stay
 * zero tell the size. Meanwhile the function answers no accesses; addresses are as before afterwards.
 */
export function sizeBars(config: Registers): Bar[] {
  const command = config.read16(COMMAND);
  config.write16(COMMAND, command & ~(COMMAND_IO | COMMAND_MEMORY));
  const bars: Bar[] = [];
  const end = registers(config);
  for (let index = 0; index < end;) {
    const bar = sizeBar(config, index, end);
    if (bar) bars.push(bar);
    index += bar?.bits === 64 ? 2 : 1;
  }
  config.write16(COMMAND, command);
  return bars;
}

/** How many BARs the layout of the configuration space has. */
function registers(config: Registers): number {
  const layout = config.read8(HEADER_TYPE) & HEADER_TYPE_LAYOUT;
  return layout === HEADER_TYPE_DEVICE ? 6 : layout === HEADER_TYPE_BRIDGE ? 2 : 0;
}

function sizeBar(config: Registers, index: number, end: number): Bar | undefined {
  // What it is stands in bits that do not change; but QEMU (7.2) lets them be written in BARs below 16 bytes.
  const kind = config.read32(BAR0 + 4 * index);
  const low = probe(config, index);
  if (low === 0) return undefined;
  if (kind & BAR_IO) {
    return { index, space: "io", bits: 32, prefetchable: false, size: lowestBit(low & ~0x3) };
  }
  const bits = kind & BAR_MEMORY_64 && index + 1 < end ? 64 : 32;
  const high = bits === 64 ? probe(config, index + 1) : 0;
  const mask = (low & ~0xf) >>> 0;
  const size = mask !== 0 ? lowestBit(mask) : lowestBit(high) * 2 ** 32;
  if (size === 0) return undefined;
  return {
    index,
    space: "memory",
    bits,
    prefetchable: (kind & BAR_MEMORY_PREFETCHABLE) !== 0,
    size,
  };
}

function probe(config: Registers, index: number): number {
  const offset = BAR0 + 4 * index;
  const before = config.read32(offset);
  config.write32(offset, 0xffffffff);
  const mask = config.read32(offset);
  config.write32(offset, before);
  return mask;
}

function lowestBit(mask: number): number {
  return (mask & -mask) >>> 0;
}

/** Whether a BAR, 0 to 5, is in I/O space: its lowest bit says so, whatever its address is (PCI 3.0, 6.2.5.1). */
export function isIoBar(config: Registers, index: number): boolean {
  return (config.read32(BAR0 + 4 * index) & BAR_IO) !== 0;
}

/** The address that a BAR has now. */
export function readBar(config: Registers, bar: Bar): number {
  const low = config.read32(BAR0 + 4 * bar.index);
  const high = bar.bits === 64 ? config.read32(BAR0 + 4 * (bar.index + 1)) : 0;
  return high * 2 ** 32 + ((low & (bar.space === "io" ? ~0x3 : ~0xf)) >>> 0);
}

/** Gives a BAR its address: a multiple of its size, below 4 GiB unless it has 64 bits. */
export function writeBar(config: Registers, bar: Bar, address: number): void {
  config.write32(BAR0 + 4 * bar.index, address % 2 ** 32);
  if (bar.bits === 64) config.write32(BAR0 + 4 * (bar.index + 1), Math.floor(address / 2 ** 32));
}
