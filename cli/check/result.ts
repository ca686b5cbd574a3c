/** How a device is to be checked. */
export interface CheckOptions {
  /** Whether what the device holds may be overwritten. */
  readonly write: boolean;
  /** Is told what begins: each step has its own deadline, and one that takes too long is named. */
  readonly step?: Step;
}

/**
 * Says what a check begins to do.
 *
 * @param what As in "late: reading random bytes".
 * @param progress How far it is by now, for steps that may take long.
 */
export type Step = (what: string, progress?: () => string) => void;

/** What came of a check. */
export interface Result {
  /** Everything that was looked at. The device passed if all of these did. */
  readonly findings: readonly Finding[];
  /** Numbers and texts for programs, with the unit in each name. */
  readonly figures: Readonly<Record<string, string | number | boolean>>;
  /** The most important figures, for people. */
  readonly summary: string;
  /** The device has nothing on which it could be checked, so that it did not pass either. */
  readonly nothing?: boolean;
}

/** One thing that was looked at. */
export interface Finding {
  /** What, in few words. */
  readonly name: string;
  /** Whether it was as it should be. */
  readonly passed: boolean;
  /** What was found. */
  readonly detail: string;
}

/** Megabytes (1000000 bytes) a second, rounded to three digits. */
export function megabytesPerSecond(bytes: number, milliseconds: number): number {
  return round(bytes / 1000 / Math.max(milliseconds, 0.001));
}

/** A number with three significant digits. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}
