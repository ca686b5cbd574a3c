import type { Context } from "./command.ts";
import { usageError } from "./exit.ts";

/** Which numbers an option takes. */
export interface NumberRange {
  /** What it is if it was not given. */
  readonly usual: number;
  readonly least: number;
  readonly greatest: number;
  /** Whether it may have a fraction. */
  readonly fraction?: boolean;
}

/**
 * The value of an option that takes a number.
 *
 * @throws {CliError} With status 2, if it is none of these.
 */
export function numberOption(
  { given }: Pick<Context, "given">,
  name: string,
  { usual, least, greatest, fraction = false }: NumberRange,
): number {
  const text = given[name];
  if (text === undefined) return usual;
  const number = text === true || text.trim() === "" ? NaN : Number(text);
  if (number >= least && number <= greatest && (fraction || Number.isInteger(number))) {
    return number;
  }
  const upTo = Number.isFinite(greatest) ? `from ${least} to ${greatest}` : `from ${least} on`;
  throw usageError(
    `Unknown value ${JSON.stringify(text)} for --${name}: wanted a ${
      fraction ? "number" : "whole number"
    } ${upTo}`,
  );
}
