import { type Bar, readBar, sizeBars, writeBar } from "./bars.ts";
import {
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_IO,
  COMMAND_MEMORY,
  IO_BASE,
  IO_BASE_UPPER,
  IO_LIMIT,
  IO_LIMIT_UPPER,
  MEMORY_BASE,
  MEMORY_LIMIT,
  PREFETCHABLE_BASE,
  PREFETCHABLE_BASE_UPPER,
  PREFETCHABLE_LIMIT,
  PREFETCHABLE_LIMIT_UPPER,
} from "./config_space.ts";
import type { BusFunction } from "./enumerate.ts";
import type { Registers } from "./registers.ts";

/** A range of addresses that BARs may be put in. */
export interface Window {
  /** First address. */
  readonly start: number;
  /** First address after it. */
  readonly end: number;
}

/** Where the BARs of a machine may be put. */
export interface Windows {
  /** I/O ports, below 64 Ki. */
  readonly io: Window;
  /** Memory below 4 GiB. */
  readonly memory: Window;
  /** Memory anywhere, for 64-bit prefetchable BARs. */
  readonly prefetchable: Window;
}

/** A BAR and what became of it. */
export interface AssignedBar extends Bar {
  /** Its address; undefined if its window was full. */
  readonly address?: number;
}

/** What {@linkcode assign} did: the BARs of each function. */
export type Assignment = ReadonlyMap<BusFunction, readonly AssignedBar[]>;

/** Granularity of a bridge's memory windows, and of its I/O window. */
const MEMORY_STEP = 1 << 20;
const IO_STEP = 1 << 12;

interface Cursor {
  next: number;
  readonly end: number;
}

interface Cursors {
  readonly io: Cursor;
  readonly memory: Cursor;
  readonly prefetchable: Cursor;
}

/**
 * Does what firmware does: gives every BAR of every function an address, opens the windows of the bridges above
 * it just as far, and turns the bridges on. Functions that are not bridges stay off.
 *
 * One walk in bus order is enough: what is behind a bridge gets addresses one after the other, and so the
 * bridge's windows are what the walk used up meanwhile. Alignment leaves holes; there is plenty of room.
 */
export function assign(tree: readonly BusFunction[], windows: Windows): Assignment {
  const assignment = new Map<BusFunction, readonly AssignedBar[]>();
  const cursor = ({ start, end }: Window): Cursor => ({ next: start, end });

  function place(functions: readonly BusFunction[], cursors: Cursors): void {
    for (const found of functions) {
      assignment.set(
        found,
        sizeBars(found.config).map((bar) => placeBar(found.config, bar, cursors)),
      );
      if (found.behind) placeBehind(found.config, found.behind, cursors);
    }
  }

  function placeBehind(
    bridge: Registers,
    behind: readonly BusFunction[],
    { io, memory, prefetchable }: Cursors,
  ): void {
    // Without a 64-bit window, prefetchable BARs go with the others: that is always allowed.
    const wide = (bridge.read16(PREFETCHABLE_BASE) & 0xf) === 1;
    const inner = { io, memory, prefetchable: wide ? prefetchable : memory };
    const ioUsed = used(io, IO_STEP);
    const memoryUsed = used(memory, MEMORY_STEP);
    const prefetchableUsed = used(prefetchable, MEMORY_STEP);
    place(behind, inner);
    openIo(bridge, ioUsed());
    openMemory(bridge, memoryUsed());
    openPrefetchable(bridge, prefetchableUsed());
    bridge.write16(
      COMMAND,
      bridge.read16(COMMAND) | COMMAND_IO | COMMAND_MEMORY | COMMAND_BUS_MASTER,
    );
  }

  place(tree, {
    io: cursor(windows.io),
    memory: cursor(windows.memory),
    prefetchable: cursor(windows.prefetchable),
  });
  return assignment;
}

function placeBar(config: Registers, bar: Bar, cursors: Cursors): AssignedBar {
  const cursor = bar.space === "io"
    ? cursors.io
    : bar.bits === 64 && bar.prefetchable
    ? cursors.prefetchable
    : cursors.memory;
  const address = alignUp(cursor.next, bar.size);
  if (address + bar.size > cursor.end) return bar;
  cursor.next = address + bar.size;
  writeBar(config, bar, address);
  return { ...bar, address };
}

/**
 * Gives BARs their addresses again where a reset took them. The function must not answer accesses meanwhile, which it
 * does not after a reset.
 */
export function reassign(config: Registers, bars: readonly AssignedBar[]): void {
  for (const bar of bars) {
    if (bar.address !== undefined && readBar(config, bar) !== bar.address) {
      writeBar(config, bar, bar.address);
    }
  }
}

/** Begins a bridge's window at the cursor; the result ends it and tells what it came to. */
function used(cursor: Cursor, step: number): () => Window {
  const start = cursor.next = alignUp(cursor.next, step);
  return () => ({ start, end: cursor.next = alignUp(cursor.next, step) });
}

function alignUp(address: number, step: number): number {
  return Math.ceil(address / step) * step;
}

// A window whose limit is below its base passes nothing on (bridge specification 1.2, 3.2.5.6 and following).

function openIo(bridge: Registers, { start, end }: Window): void {
  const last = end - 1;
  const empty = start === end;
  bridge.write8(IO_BASE, empty ? 0xf0 : start >> 8 & 0xf0);
  bridge.write8(IO_LIMIT, empty ? 0 : last >> 8 & 0xf0);
  bridge.write16(IO_BASE_UPPER, 0);
  bridge.write16(IO_LIMIT_UPPER, 0);
}

function openMemory(bridge: Registers, { start, end }: Window): void {
  const empty = start === end;
  bridge.write16(MEMORY_BASE, empty ? 0xfff0 : megabytes(start));
  bridge.write16(MEMORY_LIMIT, empty ? 0 : megabytes(end - 1));
}

function openPrefetchable(bridge: Registers, { start, end }: Window): void {
  const empty = start === end;
  bridge.write16(PREFETCHABLE_BASE, empty ? 0xfff0 : megabytes(start));
  bridge.write16(PREFETCHABLE_LIMIT, empty ? 0 : megabytes(end - 1));
  bridge.write32(PREFETCHABLE_BASE_UPPER, empty ? 0 : upperHalf(start));
  bridge.write32(PREFETCHABLE_LIMIT_UPPER, empty ? 0 : upperHalf(end - 1));
}

/** Bits 20 to 31 of an address in bits 4 to 15. */
function megabytes(address: number): number {
  return address % 2 ** 32 / MEMORY_STEP << 4;
}

function upperHalf(address: number): number {
  return Math.floor(address / 2 ** 32);
}
