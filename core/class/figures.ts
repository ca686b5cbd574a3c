/** Megabytes (1000000 bytes) a second, rounded to three digits. */
export function megabytesPerSecond(bytes: number, milliseconds: number): number {
  return round(bytes / 1000 / Math.max(milliseconds, 0.001));
}

/** A number with three significant digits. */
export function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** A number of things, for people: `1 port`, `2 ports`. */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
