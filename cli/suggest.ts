import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** ` Did you mean "x"?` for the name nearest to `given`, or nothing if none is near. */
export function suggest(given: string, names: readonly string[]): string {
  if (names.length === 0) return "";
  const best = closestString(given, names);
  // A third of the letters may be wrong; more is another word.
  return levenshteinDistance(given.toLowerCase(), best) <= Math.max(1, Math.ceil(best.length / 3))
    ? ` Did you mean ${JSON.stringify(best)}?`
    : "";
}
