/**
 * Pages of vital product data (SPC-4, 7.8; SBC-3, 6.6): what a unit tells of itself besides its names.
 *
 * @module
 */

import { asciiText, uint16, uint32, uint64 } from "./big_endian.ts";

/** The pages that are understood. */
export const VpdPage = {
  /** Which pages there are. */
  supported: 0x00,
  /** Serial number. */
  serial: 0x80,
  /** Names that nothing else in the world has. */
  identification: 0x83,
  /** What transfers are good, and how much can be given up at once. */
  limits: 0xb0,
  /** How it is built. */
  characteristics: 0xb1,
  /** How blocks are given up. */
  provisioning: 0xb2,
} as const;

/** Bytes to ask for. */
export const VPD_BYTES = 252;

/** Names of pages. */
export const VPD_NAMES: Readonly<Record<number, string>> = {
  0x00: "supported pages",
  0x80: "serial number",
  0x83: "device identification",
  0x85: "management network addresses",
  0x86: "extended inquiry data",
  0x87: "mode page policy",
  0x88: "SCSI ports",
  0xb0: "block limits",
  0xb1: "block device characteristics",
  0xb2: "logical block provisioning",
};

/**
 * The body of a page.
 *
 * @returns Nothing if the answer is not that page.
 */
export function vpdBody(bytes: Uint8Array, page: number): Uint8Array | undefined {
  if (bytes.length < 4 || bytes[1] !== page) return undefined;
  return bytes.subarray(4, 4 + uint16(bytes, 2));
}

/** One of the names of a unit. */
export interface ScsiIdentifier {
  /** What the name is about: 0 the unit, 1 its port, 2 its target. */
  readonly association: number;
  /** The authority that gives such names: `"T10 vendor"`, `"EUI-64"`, `"NAA"`, ... */
  readonly kind: string;
  /** The name: text, or hexadecimal digits. */
  readonly name: string;
}

const KINDS = [
  "vendor specific",
  "T10 vendor",
  "EUI-64",
  "NAA",
  "relative port",
  "target port group",
  "unit group",
  "MD5",
  "SCSI name",
];

/** The names in page 83. */
export function parseIdentifiers(body: Uint8Array): ScsiIdentifier[] {
  const found: ScsiIdentifier[] = [];
  for (let at = 0; at + 4 <= body.length;) {
    const length = body[at + 3]!;
    const name = body.slice(at + 4, at + 4 + length);
    if (name.length < length) break;
    const kind = body[at + 1]! & 0xf;
    found.push({
      association: body[at + 1]! >> 4 & 3,
      kind: KINDS[kind] ?? `kind ${kind}`,
      // 1 is binary; the others are text.
      name: (body[at]! & 0xf) === 1 ? name.toHex() : asciiText(name, 0, length),
    });
    at += 4 + length;
  }
  return found;
}

/** What page B0 says; 0 where it says nothing. */
export interface BlockLimits {
  /** Most blocks of a transfer. */
  readonly mostTransfer: number;
  /** Best number of blocks of a transfer. */
  readonly bestTransfer: number;
  /** Most blocks that one UNMAP gives up. */
  readonly mostUnmap: number;
  /** Most stretches in one UNMAP. */
  readonly mostUnmapRanges: number;
  /** Blocks by which that is best aligned. */
  readonly unmapGranularity: number;
  /** Most blocks of one WRITE SAME. */
  readonly mostSame: number;
}

/** Takes page B0 apart. */
export function parseLimits(body: Uint8Array): BlockLimits {
  return {
    mostTransfer: uint32(body, 4),
    bestTransfer: uint32(body, 8),
    mostUnmap: uint32(body, 16),
    mostUnmapRanges: uint32(body, 20),
    unmapGranularity: uint32(body, 24),
    mostSame: uint64(body, 32),
  };
}

/** What page B2 says. */
export interface Provisioning {
  /** Whether UNMAP gives blocks up. */
  readonly unmap: boolean;
  /** Whether WRITE SAME(16) does. */
  readonly same: boolean;
  /** Whether blocks that were given up read as zeroes. */
  readonly zeroes: boolean;
}

/** Takes page B2 apart. */
export function parseProvisioning(body: Uint8Array): Provisioning {
  const flags = body[1] ?? 0;
  return { unmap: (flags & 0x80) !== 0, same: (flags & 0x40) !== 0, zeroes: (flags & 4) !== 0 };
}

/** Rotations of the medium in a minute as page B1 has it; 0 for one that does not turn, undefined if it does not say. */
export function parseRotation(body: Uint8Array): number | undefined {
  const rate = uint16(body, 0);
  return rate === 0 ? undefined : rate === 1 ? 0 : rate;
}
