/** ` Did you mean "x"?` for the name nearest to `given`, or nothing if none is near. */
export function suggest(given: string, names: readonly string[]): string {
  const ranked = names.map((name) => ({ name, distance: distance(given, name) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  // A third of the letters may be wrong; more is another word.
  return best && best.distance <= Math.max(1, Math.ceil(best.name.length / 3))
    ? ` Did you mean ${JSON.stringify(best.name)}?`
    : "";
}

/** Letters to put in, leave out or change to make `b` of `a` (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
