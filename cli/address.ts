import { formatAddress, parseAddress } from "../machine/mod.ts";
import { usageError } from "./exit.ts";

/**
 * The whole of an address that the user may have abbreviated.
 *
 * @throws {CliError} With status 2 if `word` is none.
 */
export function wholeAddress(word: string): string {
  try {
    return formatAddress(parseAddress(word));
  } catch (error) {
    throw usageError((error as Error).message);
  }
}
