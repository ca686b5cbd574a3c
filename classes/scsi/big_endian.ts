// SCSI's numbers begin with their highest byte. Reading past the end gives 0: a device may answer less.

/** 16 bits. */
export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
}

/** 32 bits. */
export function uint32(bytes: Uint8Array, at: number): number {
  return (uint16(bytes, at) << 16 | uint16(bytes, at + 2)) >>> 0;
}

/** 64 bits; those above 2⁵³ come rounded. */
export function uint64(bytes: Uint8Array, at: number): number {
  return uint32(bytes, at) * 2 ** 32 + uint32(bytes, at + 4);
}

/** Writes 16 bits. */
export function putUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Writes 32 bits. */
export function putUint32(bytes: Uint8Array, at: number, value: number): void {
  putUint16(bytes, at, value >>> 16);
  putUint16(bytes, at + 2, value);
}

/** Writes 64 bits; up to 2⁵³. */
export function putUint64(bytes: Uint8Array, at: number, value: number): void {
  putUint32(bytes, at, Math.floor(value / 2 ** 32));
  putUint32(bytes, at + 4, value % 2 ** 32);
}

/** Text of so many bytes: ASCII, padded with blanks. What is no printable character becomes one. */
export function asciiText(bytes: Uint8Array, at: number, length: number): string {
  const text = String.fromCharCode(...bytes.subarray(at, at + length));
  return text.replace(/[^\x20-\x7e]/g, (character) => character === "\0" ? " " : "?").trim();
}
