/** What MODE SENSE tells of a disk (SPC-4, 6.11; SBC-3, 6.4.5). */
export interface ScsiModes {
  /** Whether writes are refused. */
  readonly writeProtected: boolean;
  /** Whether finished writes may be in a cache that loses them. */
  readonly writeCache: boolean;
}

/** The page about caching. */
export const CACHING_PAGE = 0x08;
/** Bytes to ask for, of MODE SENSE(6). */
export const MODE_BYTES = 192;

/**
 * Takes the answer to MODE SENSE(6) apart.
 *
 * @returns Nothing if it has no head. Without the page, nothing is known of a cache: then there may be one.
 */
export function parseModes(bytes: Uint8Array): ScsiModes | undefined {
  if (bytes.length < 4) return undefined;
  const page = modePage(bytes, CACHING_PAGE);
  return {
    writeProtected: (bytes[2]! & 0x80) !== 0,
    writeCache: page ? (page[2]! & 4) !== 0 : true,
  };
}

/** One page out of the answer to MODE SENSE(6). */
export function modePage(bytes: Uint8Array, wanted: number): Uint8Array | undefined {
  const end = Math.min(bytes.length, 1 + bytes[0]!);
  // Behind the head and the block descriptors.
  for (let at = 4 + (bytes[3] ?? 0); at + 2 <= end;) {
    const long = (bytes[at]! & 0x40) !== 0;
    const length = long ? 4 + (bytes[at + 2]! << 8 | bytes[at + 3]!) : 2 + bytes[at + 1]!;
    if ((bytes[at]! & 0x3f) === wanted && at + length <= end && length >= 3) {
      return bytes.subarray(at, at + length);
    }
    at += length;
  }
  return undefined;
}
