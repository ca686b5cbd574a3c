export interface FormatOptions {
  /** `full`: `1 minute, 2 seconds`; `digital`: `00:00:01:02:000:000:000`; `narrow` unless said otherwise: `1m 2s`. */
  style?: "narrow" | "digital" | "full";
  /** Leave out the units of which there are none. */
  ignoreZero?: boolean;
}

export function format(ms: number, options?: FormatOptions): string;
