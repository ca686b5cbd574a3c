/**
 * The commands that the model of a SCSI unit knows, and the sense data that it answers with (SPC-4, SBC-3, MMC-6).
 *
 * @module
 */

/** Operation codes. */
export const Op = {
  TEST_UNIT_READY: 0x00,
  REQUEST_SENSE: 0x03,
  INQUIRY: 0x12,
  MODE_SENSE_6: 0x1a,
  START_STOP_UNIT: 0x1b,
  PREVENT_ALLOW_MEDIUM_REMOVAL: 0x1e,
  READ_CAPACITY_10: 0x25,
  READ_10: 0x28,
  WRITE_10: 0x2a,
  SYNCHRONIZE_CACHE_10: 0x35,
  WRITE_SAME_10: 0x41,
  UNMAP: 0x42,
  XDWRITEREAD_10: 0x53,
  MODE_SENSE_10: 0x5a,
  READ_16: 0x88,
  WRITE_16: 0x8a,
  SYNCHRONIZE_CACHE_16: 0x91,
  WRITE_SAME_16: 0x93,
  SERVICE_ACTION_IN_16: 0x9e,
  REPORT_LUNS: 0xa0,
} as const;

/** Service action of READ CAPACITY(16). */
export const READ_CAPACITY_16 = 0x10;

/** SCSI statuses. */
export const GOOD = 0;
/** There are sense data. */
export const CHECK_CONDITION = 2;

/** What sense data say: key, additional sense code, qualifier. */
export type SenseCode = readonly [key: number, asc: number, ascq: number];

/** Sense data that the model answers with. */
export const Sense = {
  notPresent: [0x2, 0x3a, 0x00],
  guardCheck: [0x4, 0x10, 0x01],
  invalidOpcode: [0x5, 0x20, 0x00],
  outOfRange: [0x5, 0x21, 0x00],
  invalidField: [0x5, 0x24, 0x00],
  noSuchUnit: [0x5, 0x25, 0x00],
  invalidParameter: [0x5, 0x26, 0x00],
  mediumChanged: [0x6, 0x28, 0x00],
  powerOn: [0x6, 0x29, 0x00],
  resetOccurred: [0x6, 0x29, 0x02],
  capacityChanged: [0x6, 0x2a, 0x09],
  writeProtected: [0x7, 0x27, 0x00],
} as const satisfies Readonly<Record<string, SenseCode>>;

/** Sense data in the fixed format (SPC-4, 4.5.3). */
export function fixedSense([key, asc, ascq]: SenseCode): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(18);
  bytes[0] = 0x70;
  bytes[2] = key;
  bytes[7] = 10;
  bytes[12] = asc;
  bytes[13] = ascq;
  return bytes;
}
