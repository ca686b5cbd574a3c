/** A number of things, for people: `1 port`, `2 ports`. */
export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
