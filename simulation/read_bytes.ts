import type { Width } from "../core/pci/registers.ts";

/** The value of `width` little-endian bytes; bytes behind the end read as 0. */
export function readBytes(bytes: Uint8Array, offset: number, width: Width): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[offset + i] ?? 0);
  return value;
}
