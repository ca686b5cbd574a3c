import type { Io } from "./io.ts";

/** Colours for words that carry a verdict; the words are the same without. */
export interface Style {
  /** Something is as it should be. */
  good(text: string): string;
  /** Something is wrong. */
  bad(text: string): string;
  /** Something matters less. */
  faint(text: string): string;
}

/** Colours only where a person reads them and did not say no (https://no-color.org). */
export function styleFor(io: Pick<Io, "terminal" | "environment">, allowed: boolean): Style {
  const welcome = ({ NO_COLOR, TERM }: Io["environment"]) => !NO_COLOR && TERM !== "dumb";
  const colour = allowed && io.terminal && welcome(io.environment);
  const paint = (code: number) => (text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  return { good: paint(32), bad: paint(31), faint: paint(2) };
}
