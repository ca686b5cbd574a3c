import { additionalSense } from "./additional_sense.ts";
import { uint32, uint64 } from "./big_endian.ts";

/** Why a unit did not do what it was asked for (SPC-4, 4.5). */
export interface ScsiSense {
  /** Sense key. */
  readonly key: number;
  /** Additional sense code. */
  readonly asc: number;
  /** Its qualifier. */
  readonly ascq: number;
  /** Whether it is about an earlier command. */
  readonly deferred: boolean;
  /** A number that belongs to it, for example the first block that cannot be read. */
  readonly information?: number;
}

/** Sense keys (SPC-4, 4.5.6). */
export const SenseKey = {
  /** All is well. */
  none: 0,
  /** Done, with difficulty. */
  recovered: 1,
  /** Not ready. */
  notReady: 2,
  /** The medium is bad. */
  medium: 3,
  /** The hardware is bad. */
  hardware: 4,
  /** The command is wrong. */
  illegalRequest: 5,
  /** Something happened to the unit before. */
  unitAttention: 6,
  /** Reading or writing is forbidden. */
  dataProtect: 7,
  /** Ended by the unit. */
  aborted: 11,
} as const;

const KEYS = [
  "no sense",
  "recovered error",
  "not ready",
  "medium error",
  "hardware error",
  "illegal request",
  "unit attention",
  "data protect",
  "blank check",
  "vendor specific",
  "copy aborted",
  "aborted command",
  "reserved",
  "volume overflow",
  "miscompare",
  "completed",
];

/**
 * Takes sense data apart, in both formats.
 *
 * @returns Nothing if there are too few, or they are of an unknown kind.
 */
export function parseSense(bytes: Uint8Array): ScsiSense | undefined {
  const format = (bytes[0] ?? 0) & 0x7f;
  const deferred = (format & 1) === 1;
  if (format >= 0x72 && format <= 0x73 && bytes.length >= 8) {
    const information = descriptor(bytes, 0);
    return {
      key: bytes[1]! & 0xf,
      asc: bytes[2]!,
      ascq: bytes[3]!,
      deferred,
      ...(information && { information: uint64(information, 4) }),
    };
  }
  if (format >= 0x70 && format <= 0x71 && bytes.length >= 3) {
    const valid = (bytes[0]! & 0x80) !== 0 && bytes.length >= 7;
    return {
      key: bytes[2]! & 0xf,
      asc: bytes[12] ?? 0,
      ascq: bytes[13] ?? 0,
      deferred,
      ...(valid && { information: uint32(bytes, 3) }),
    };
  }
  return undefined;
}

/** A descriptor of that type, if there is one. */
function descriptor(bytes: Uint8Array, type: number): Uint8Array | undefined {
  const end = Math.min(bytes.length, 8 + bytes[7]!);
  for (let at = 8; at + 2 <= end;) {
    const length = 2 + bytes[at + 1]!;
    if (bytes[at] === type && at + length <= end) return bytes.subarray(at, at + length);
    at += length;
  }
  return undefined;
}

/** Sense data in words: `medium error: unrecovered read error (3/11/00) at 42`. */
export function senseText(sense: ScsiSense): string {
  const { key, asc, ascq, information } = sense;
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  const what = asc === 0 && ascq === 0 ? "" : `: ${additionalSense(asc, ascq)}`;
  const where = information === undefined ? "" : `, block ${information}`;
  return `${KEYS[key]}${what} (${key.toString(16)}/${hex(asc)}/${hex(ascq)}${where})`;
}
