import { asciiText } from "./big_endian.ts";

/** What a unit says that it is (SPC-4, 6.4.2). */
export interface ScsiInquiry {
  /** 0 if the unit is there, 1 if it could be, 3 if it cannot. */
  readonly qualifier: number;
  /** Its type: 0 for a disk, 5 for a CD-ROM. */
  readonly type: number;
  /** Its type in words. */
  readonly typeName: string;
  /** Whether its medium can be taken out. */
  readonly removable: boolean;
  /** The standard that it follows, as a number of SPC; 5 is SPC-3, 6 SPC-4. */
  readonly version: number;
  /** Whether its blocks can carry protection information. */
  readonly protect: boolean;
  /** Its maker. */
  readonly vendor: string;
  /** What it is called. */
  readonly product: string;
  /** Which version of it. */
  readonly revision: string;
}

/** The least that is an answer: its head. */
const LEAST_BYTES = 5;
/** Bytes to ask for. */
export const INQUIRY_BYTES = 36;

const TYPES = [
  "disk",
  "tape",
  "printer",
  "processor",
  "worm",
  "cdrom",
  "scanner",
  "optical",
  "changer",
  "communications",
  "prepress",
  "prepress",
  "storage array",
  "enclosure",
  "simplified disk",
  "card reader",
  "bridge",
  "object storage",
  "automation",
  "security",
  "zoned disk",
];

/** What a unit of that type is called. */
export function typeName(type: number): string {
  return TYPES[type] ?? (type === 0x1e ? "well-known" : type === 0x1f ? "none" : `type ${type}`);
}

/**
 * Takes the answer to INQUIRY apart.
 *
 * @returns Nothing if it is too short to be one.
 */
export function parseInquiry(bytes: Uint8Array): ScsiInquiry | undefined {
  if (bytes.length < LEAST_BYTES) return undefined;
  const type = bytes[0]! & 0x1f;
  return {
    qualifier: bytes[0]! >> 5,
    type,
    typeName: typeName(type),
    removable: (bytes[1]! & 0x80) !== 0,
    version: bytes[2]!,
    protect: ((bytes[5] ?? 0) & 1) !== 0,
    vendor: asciiText(bytes, 8, 8),
    product: asciiText(bytes, 16, 16),
    revision: asciiText(bytes, 32, 4),
  };
}
