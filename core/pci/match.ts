import type { PciIdentity } from "./identity.ts";

/**
 * One rule of a manifest: every field that is there must fit. Hexadecimal digits without `0x`, in lower case.
 */
export interface Match {
  /** Four digits: `"1af4"`. */
  readonly vendor?: string;
  /** Four digits: `"1042"`. */
  readonly device?: string;
  /** Four digits. */
  readonly subsystemVendor?: string;
  /** Four digits. */
  readonly subsystem?: string;
  /** Two, four or six digits: base class, and subclass, and programming interface: `"01"`, `"0180"`. */
  readonly class?: string;
}

/** A field of a rule. */
export type MatchField = keyof Match;

/** The first field of a rule that does not fit, and both values. */
export interface Mismatch {
  /** The field. */
  readonly field: MatchField;
  /** What the rule wants there. */
  readonly wanted: string;
  /** What the device says, with all its digits. */
  readonly found: string;
}

/** The fields of a rule in the order in which they are tried, and the digits of each in a device. */
export const MATCH_FIELDS: Readonly<Record<MatchField, 4 | 6>> = {
  vendor: 4,
  device: 4,
  subsystemVendor: 4,
  subsystem: 4,
  class: 6,
};

const FIELDS = Object.keys(MATCH_FIELDS) as readonly MatchField[];

/**
 * Whether a rule fits a device.
 *
 * @returns `true`, or the first field that does not fit.
 * @throws {TypeError} If the rule has no field, because it would fit everything.
 */
export function matches(match: Match, identity: PciIdentity): true | Mismatch {
  specificity(match);
  for (const field of FIELDS) {
    const wanted = match[field];
    if (wanted === undefined) continue;
    const found = identity[field].toString(16).padStart(MATCH_FIELDS[field], "0");
    const fits = field === "class" ? found.startsWith(wanted) : found === wanted;
    if (!fits) return { field, wanted, found };
  }
  return true;
}

/**
 * How much a rule says: the number of digits that must fit. Of two rules that fit, the one that says more wins.
 *
 * @throws {TypeError} If the rule has no field.
 */
export function specificity(match: Match): number {
  const digits = FIELDS.reduce((sum, field) => sum + (match[field]?.length ?? 0), 0);
  if (digits === 0) {
    throw new TypeError(`Cannot match devices: the rule names none of ${FIELDS.join(", ")}`);
  }
  return digits;
}

/** A rule as people read it: `vendor 1af4, device 1042`. */
export function formatMatch(match: Match): string {
  return FIELDS.flatMap((field) => match[field] === undefined ? [] : [`${field} ${match[field]}`])
    .join(", ");
}
