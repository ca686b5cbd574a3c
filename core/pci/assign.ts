// Addresses for BARs and windows of bridges, where no firmware gave any.

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
  readonly io: readonly Window[];
  /** Memory below 4 GiB. */
  readonly memory: Window;
  /** Memory anywhere, for 64-bit prefetchable BARs. */
  readonly prefetchable: Window;
}

/** A BAR and what became of it. */
export interface AssignedBar extends Bar {
  /** Its address; undefined if there was no room: see {@linkcode noRoom}. */
  readonly address?: number;
}

/** What {@linkcode assign} did: the BARs of each function. */
export type Assignment = ReadonlyMap<BusFunction, readonly AssignedBar[]>;

/** Granularity of a bridge's memory windows, and of its I/O window. */
const MEMORY_STEP = 1 << 20;
const IO_STEP = 1 << 12;

const CLOSED: Window = { start: 0, end: 0 };

interface Cursor {
  next: number;
  readonly end: number;
}

/** Where BARs of each kind may be put, the best place first. */
interface Room {
  readonly io: readonly Cursor[];
  readonly memory: readonly Cursor[];
  readonly memory64: readonly Cursor[];
  readonly prefetchable: readonly Cursor[];
}

/**
 * Does what firmware does: gives every BAR of every function an address, opens the windows of the bridges above
 * it just as far, and turns the bridges on. Functions that are not bridges stay off. A BAR for which there is no room
 * gets no address, and the others do.
 *
 * One walk in bus order is enough: what is behind a bridge gets addresses one after the other, and so the
 * bridge's windows are what the walk used up meanwhile. Alignment leaves holes, few of them where the functions of a bus
 * come before its bridges.
 *
 * @param first A function that there must be room for, whatever the others want.
 */
export function assign(
  tree: readonly BusFunction[],
  windows: Windows,
  first?: BusFunction,
): Assignment {
  const assignment = new Map<BusFunction, readonly AssignedBar[]>();
  const cursor = ({ start, end }: Window): Cursor => ({ next: start, end });

  function placeBars(found: BusFunction, room: Room): void {
    if (assignment.has(found)) return;
    const bars = sizeBars(found.config).map((bar) => placeBar(found.config, bar, room));
    assignment.set(found, bars);
  }

  function place(functions: readonly BusFunction[], room: Room): void {
    for (const found of functions) placeBars(found, room);
    for (const { config, behind } of functions) if (behind) placeBehind(config, behind, room);
  }

  function placeBehind(bridge: Registers, behind: readonly BusFunction[], room: Room): void {
    const io = room.io.find((each) => alignUp(each.next, IO_STEP) < each.end);
    const memory = room.memory[0]!;
    // Without a 64-bit window, prefetchable BARs go with the others: that is always allowed.
    const wide = (bridge.read16(PREFETCHABLE_BASE) & 0xf) === 1;
    const prefetchable = wide ? room.prefetchable[0] : undefined;
    const ioUsed = io && used(io, IO_STEP);
    const memoryUsed = used(memory, MEMORY_STEP);
    const prefetchableUsed = prefetchable && used(prefetchable, MEMORY_STEP);
    place(behind, {
      io: io ? [io] : [],
      memory: [memory],
      memory64: [memory],
      prefetchable: prefetchable ? [prefetchable, memory] : [memory],
    });
    openIo(bridge, ioUsed?.() ?? CLOSED);
    openMemory(bridge, memoryUsed());
    openPrefetchable(bridge, prefetchableUsed?.() ?? CLOSED);
    bridge.write16(
      COMMAND,
      bridge.read16(COMMAND) | COMMAND_IO | COMMAND_MEMORY | COMMAND_BUS_MASTER,
    );
  }

  const memory = cursor(windows.memory);
  const prefetchable = cursor(windows.prefetchable);
  const room: Room = {
    io: windows.io.map(cursor),
    memory: [memory],
    memory64: [memory, prefetchable],
    prefetchable: [prefetchable, memory],
  };
  if (first) placeBars(first, room);
  place(tree, room);
  return assignment;
}

function placeBar(config: Registers, bar: Bar, room: Room): AssignedBar {
  const { space, bits } = bar;
  const kind = space === "io"
    ? "io"
    : bits === 32
    ? "memory"
    : bar.prefetchable
    ? "prefetchable"
    : "memory64";
  for (const cursor of room[kind]) {
    const address = alignUp(cursor.next, bar.size);
    if (address + bar.size > cursor.end) continue;
    cursor.next = address + bar.size;
    writeBar(config, bar, address);
    return { ...bar, address };
  }
  return bar;
}

/** Why a BAR has no address, for people; undefined if it has one. */
export function noRoom({ index, space, bits, size, address }: AssignedBar): string | undefined {
  if (address !== undefined) return undefined;
  const what = space === "io"
    ? "I/O ports"
    : bits === 32
    ? "addresses below 4 GiB"
    : "memory addresses";
  const more = space === "io" ? `; each bridge with ports behind it takes ${IO_STEP} of them` : "";
  return `no ${what} are left for its BAR ${index} of ${size} bytes${more}`;
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
  const before = cursor.next;
  const start = cursor.next = alignUp(before, step);
  return () => {
    const end = alignUp(cursor.next, step);
    cursor.next = end === start ? before : end;
    return { start, end };
  };
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
