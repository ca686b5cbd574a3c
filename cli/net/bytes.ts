/**
 * Big-endian numbers, and bytes. Network headers are read and written with these.
 *
 * @module
 */

/** A number of 16 bits at `at`. */
export function read16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

/** A number of 32 bits at `at`. */
export function read32(bytes: Uint8Array, at: number): number {
  return (read16(bytes, at) * 0x10000) + read16(bytes, at + 2);
}

/** The two bytes of a number. */
export function be16(value: number): readonly [number, number] {
  return [value >>> 8 & 0xff, value & 0xff];
}

/** The four bytes of a number. */
export function be32(value: number): readonly [number, number, number, number] {
  return [...be16(value >>> 16), ...be16(value)];
}

/** All parts, one behind the other. */
export function concat(...parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Whether two stretches of bytes are the same. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
