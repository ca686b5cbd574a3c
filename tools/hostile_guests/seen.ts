/**
 * What was seen of guests that met devices that lie: kept as data, so that a part of it can be asked anew.
 *
 * @module
 */

import type { LieId } from "../../simulation/hostile.ts";
import type { Verdict } from "./verdict.ts";

/** What a column of the page is about, in the order of the page. */
export const COLUMNS = ["qemu", "linux", "newer-linux", "seabios", "ovmf"] as const;
/** Its name on the command line. */
export type ColumnName = typeof COLUMNS[number];

/** A verdict, and the day of it. */
export interface Seen extends Verdict {
  /** For example `"2026-11-28"`. */
  readonly on: string;
}

/** What one program made of each lie. */
export interface Column {
  /** The program and its version. */
  readonly program: string;
  /** By the numbers of the lies; one that was not tried is missing. */
  readonly seen: Readonly<Partial<Record<LieId, Seen>>>;
}

/** All that was seen. */
export type Columns = Readonly<Partial<Record<ColumnName, Column>>>;

const FILE = new URL("seen.json", import.meta.url);

/** Reads what is kept. */
export function readSeen(): Columns {
  return JSON.parse(Deno.readTextFileSync(FILE)) as Columns;
}

/** Keeps one more verdict, of today. What was seen of another version of the program is forgotten. */
export function keep(name: ColumnName, program: string, id: LieId, verdict: Verdict): void {
  const kept = readSeen();
  const earlier = kept[name]?.program === program ? kept[name].seen : {};
  const on = new Date().toISOString().slice(0, 10);
  const seen = { ...earlier, [id]: { ...verdict, on } };
  Deno.writeTextFileSync(FILE, text({ ...kept, [name]: { program, seen } }));
}

/** As JSON, a line for each verdict. */
function text(columns: Columns): string {
  const parts = COLUMNS.filter((name) => columns[name]).map((name) => {
    const { program, seen } = columns[name]!;
    const lines = Object.keys(seen).sort()
      .map((id) => `    ${JSON.stringify(id)}: ${JSON.stringify(seen[id as LieId])}`);
    return `  ${JSON.stringify(name)}: {"program": ${JSON.stringify(program)}, "seen": {\n${
      lines.join(",\n")
    }\n  }}`;
  });
  return `{\n${parts.join(",\n")}\n}\n`;
}
