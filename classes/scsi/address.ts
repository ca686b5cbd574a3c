import { argument } from "../../core/class/mod.ts";

/** A logical unit of a SCSI adapter. */
export interface ScsiAddress {
  /** Its target, 0 to 255. */
  readonly target: number;
  /** Its LUN, 0 to 16383. */
  readonly lun: number;
}

const MOST_TARGET = 255;
const MOST_LUN = 16383;
/** Flat addressing, the form of a LUN in SCSI that reaches all of them (SAM-5, 4.7.7.3). */
const FLAT = 0x4000;

/** In place of a LUN: the well-known logical unit that lists those of its target (SAM-5, 4.7.7.5.1). */
export const REPORT_LUNS_UNIT = 0xc101;

/**
 * Checks an address that an application hands over to the method `where`. Returns a copy of it.
 *
 * @throws TypeError If it is none.
 * @throws RangeError If there is no such address.
 */
export function checkAddress(given: ScsiAddress, where: string): ScsiAddress {
  const { target, lun } = argument.record(given, where, "address");
  argument.integer(target, where, "address.target", 0, MOST_TARGET);
  if (lun !== REPORT_LUNS_UNIT) argument.integer(lun, where, "address.lun", 0, MOST_LUN);
  return { target, lun };
}

/** A unit's address as requests carry it. */
export function addressWord({ target, lun }: ScsiAddress): number {
  return target | (lun === REPORT_LUNS_UNIT ? lun : FLAT | lun) << 8;
}

function within(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

/** The address that events carry. */
export function addressOfWord(word: number): ScsiAddress {
  return { target: word & 0xff, lun: word >>> 8 & MOST_LUN };
}

/** An address for people: `0:3` is LUN 3 of target 0. */
export function formatScsiAddress({ target, lun }: ScsiAddress): string {
  return `${target}:${lun === REPORT_LUNS_UNIT ? "report-luns" : lun}`;
}

/**
 * Reads an address: `0:3`, or `3` for a LUN of target 0.
 *
 * @throws SyntaxError If it is none.
 */
export function parseScsiAddress(text: string): ScsiAddress {
  const found = /^(?:(\d{1,3}):)?(\d{1,5})$/.exec(text);
  const [target, lun] = [Number(found?.[1] ?? 0), Number(found?.[2] ?? NaN)];
  if (within(target, MOST_TARGET) && within(lun, MOST_LUN)) return { target, lun };
  throw new SyntaxError(
    `Cannot read the address ${JSON.stringify(text)}: wanted target:lun, like 0:3, ` +
      `with targets up to ${MOST_TARGET} and LUNs up to ${MOST_LUN}`,
  );
}
