import type { Context } from "./command.ts";
import { factLines } from "./layout.ts";
import { printable } from "./printable.ts";

/** Prints what something is: names, and a fact of each that has one. */
export function printFacts(
  { io, columns }: Pick<Context, "io" | "columns">,
  facts: readonly (readonly [name: string, fact: string | undefined])[],
): void {
  const safe = facts.map(([name, fact]) => [printable(name), fact && printable(fact)] as const);
  for (const line of factLines(safe, columns)) io.out(line);
}
