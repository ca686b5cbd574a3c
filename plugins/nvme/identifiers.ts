/**
 * Identifiers that the model has: the same for the same serial number everywhere, and others for another.
 *
 * @module
 */

/** An EUI-64 whose first three bytes are of no manufacturer: the second bit says that it is given locally. */
const LOCAL = 0x02n << 56n;
const EXTENSION = (1n << 40n) - 1n;
const UUID_PREFIX = "nqn.2014-08.org.nvmexpress:uuid:";

/** The qualified name of a subsystem, of the form with a UUID (NVM Express Base 2.0, 4.5). */
export function subsystemName(serial: string): string {
  const digits = hex(hash(`subsystem ${serial}`)) + hex(hash(`controller ${serial}`));
  // RFC 9562, 4: version 8, of a maker's own kind, and the variant of that document.
  const parts = [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `8${digits.slice(13, 16)}`,
    `a${digits.slice(17, 20)}`,
    digits.slice(20),
  ];
  return UUID_PREFIX + parts.join("-");
}

/** The EUI-64 of a namespace. */
export function eui64(serial: string, nsid: number): Uint8Array<ArrayBuffer> {
  return bytes(LOCAL | hash(`${serial} ${nsid}`) & EXTENSION);
}

/** Its NGUID: an extension of 8 bytes before the EUI-64, all in network order. */
export function nguid(serial: string, nsid: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(...bytes(hash(`extension ${serial} ${nsid}`)), ...eui64(serial, nsid));
}

function bytes(value: bigint): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(hex(value));
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

/** FNV-1a of 64 bits. */
function hash(text: string): bigint {
  let value = 0xcbf2_9ce4_8422_2325n;
  for (const byte of new TextEncoder().encode(text)) {
    value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100_0000_01b3n);
  }
  return value;
}
