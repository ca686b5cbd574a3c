// The list of capabilities of a function.

import { CAPABILITIES_POINTER, STATUS, STATUS_CAPABILITIES } from "./config_space.ts";
import { hex, PciFault } from "./fault.ts";
import type { Registers } from "./registers.ts";

/** An element of the capability list of a PCI function. */
export interface Capability {
  /** What it is, for example {@linkcode MSI_X} or {@linkcode VENDOR_SPECIFIC}. */
  readonly id: number;
  /** Where it starts in the configuration space. */
  readonly offset: number;
  /**
   * How many bytes of it may be read: what a vendor-specific capability says itself; of others, only the room up
   * to the end of the list's area is known. Never reaches behind that end.
   */
  readonly length: number;
}

/** Capability of the vendor's own; its third byte is its length. */
export const VENDOR_SPECIFIC = 0x09;
/** Message-signalled interrupts by a table. */
export const MSI_X = 0x11;

/** The list lives behind the standard header, in the first 256 bytes (PCI local bus 3.0, 6.7). */
const FIRST = 0x40;
const END = 0x100;
/** So many capabilities of 4 bytes fit in there; a walk of more hops goes in a circle. */
const MOST = (END - FIRST) / 4;

/**
 * The capabilities of a function in the order of its list; none if it has no list, or if only the header of its
 * configuration space can be seen.
 *
 * @throws {PciFault} If a pointer leads out of the list's area, is not a multiple of 4, or leads in a circle.
 */
export function capabilities(config: Registers): readonly Capability[] {
  const found: Capability[] = [];
  if (config.size <= FIRST || (config.read16(STATUS) & STATUS_CAPABILITIES) === 0) return found;
  const end = Math.min(END, config.size);
  let pointer = CAPABILITIES_POINTER;
  for (;;) {
    const offset = config.read8(pointer);
    if (offset === 0) return found;
    const wrong = whyNot(offset, end) ?? (found.length === MOST ? "leads in a circle" : undefined);
    if (wrong) throw new PciFault(`the capability pointer ${hex(offset)} ${wrong}`, pointer);
    const id = config.read8(offset);
    const room = end - offset;
    const length = id === VENDOR_SPECIFIC ? Math.min(config.read8(offset + 2), room) : room;
    found.push({ id, offset, length });
    pointer = offset + 1;
  }
}

function whyNot(offset: number, end: number): string | undefined {
  if (offset % 4 !== 0) return "is not a multiple of 4";
  if (offset < FIRST) return "leads into the header";
  if (offset + 4 > end) return `leads behind ${hex(end)}`;
  return undefined;
}
