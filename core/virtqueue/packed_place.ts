// Places in a packed ring: an offset, and in bit 15 the wrap counter.

import { AVAILABLE, USED, WORDS } from "./descriptor.ts";
import { DESCRIPTOR_BYTES } from "./layout.ts";

/** Of a place: the wrap counter. */
export const PACKED_WRAP: number = 1 << 15;

/** The place so many slots further on; at most a lap. */
export function packedPlaceAfter(place: number, slots: number, size: number): number {
  const offset = (place & ~PACKED_WRAP) + slots;
  return offset < size ? place + slots : offset - size | (place & PACKED_WRAP) ^ PACKED_WRAP;
}

/** What stands in a slot. */
export interface PackedSlot {
  /** All of it, as 32-bit words. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly id: number;
  readonly flags: number;
  /** Whether it is available, in the lap of the place. */
  readonly available: boolean;
}

/** Reads the slot at a place. */
export function packedSlot(
  memory: SharedArrayBuffer,
  descriptors: number,
  place: number,
): PackedSlot {
  const at = descriptors + DESCRIPTOR_BYTES * (place & ~PACKED_WRAP);
  const words = Uint32Array.from(new Uint32Array(memory, at, WORDS));
  const flags = words[3]! >>> 16;
  const wanted = place & PACKED_WRAP ? AVAILABLE : USED;
  return {
    words,
    id: words[3]! & 0xffff,
    flags,
    available: (flags & (AVAILABLE | USED)) === wanted,
  };
}
