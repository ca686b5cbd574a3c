/** How a device is to be checked. */
export interface CheckOptions {
  /** Whether what the device holds may be overwritten. */
  readonly write: boolean;
}

/** What came of a check. */
export interface Result {
  /** Everything that was looked at. The device passed if all of these did. */
  readonly findings: readonly Finding[];
  /** Numbers and texts for programs, with the unit in each name. */
  readonly figures: Readonly<Record<string, string | number | boolean>>;
  /** The most important figures, for people. */
  readonly summary: string;
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
