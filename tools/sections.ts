/**
 * Writes conform/sections.json: the numbers and titles of the sections of the VirtIO specification that are cited by
 * checks. `deno run -A tools/sections.ts <folder>` reads the specification's own sources
 * (https://github.com/oasis-tcs/virtio-spec, at the tag of the version), and says which citations name no section.
 *
 * @module
 */

import { CHECKS } from "../conform/mod.ts";

const TABLE = new URL("../conform/sections.json", import.meta.url);
const LEVELS = ["chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph"];
/** A heading, of its own or of normative statements (commands.tex); the title may hold commands with braces. */
const TITLE = String.raw`\{((?:[^{}]|\{[^{}]*\})*)\}`;
const HEADING = new RegExp(
  String.raw`\\(?:(driver|device)normative\s*\{\\(\w+)\}\s*|(${LEVELS.join("|")})\s*)${TITLE}`,
  "g",
);

/** The numbers of all sections, in their order, with their titles. */
export function sections(text: string): Map<string, string> {
  const counts: number[] = [];
  const found = new Map<string, string>();
  for (const [, side, level, own, title] of text.matchAll(HEADING)) {
    const depth = LEVELS.indexOf(level ?? own!);
    if (depth < 0) continue;
    counts.length = depth + 1;
    counts[depth] = (counts[depth] ?? 0) + 1;
    const requirements = side === undefined
      ? ""
      : `${side === "driver" ? "Driver" : "Device"} Requirements: `;
    found.set(Array.from(counts, (n) => n ?? 0).join("."), requirements + plain(title!));
  }
  return found;
}

/** Without commands of LaTeX. */
function plain(title: string): string {
  return title.replace(/\\\w+\{([^{}]*)\}/g, "$1").replace(/\\(.)/g, "$1").replace(/\s+/g, " ")
    .trim();
}

/** A file with those that it includes, and without comments. */
function read(folder: string, name: string): string {
  const text = Deno.readTextFileSync(`${folder}/${name}`).replace(/(?<!\\)%.*$/gm, "");
  return text.replace(
    /\\input\{([^{}]+)\}/g,
    (_, other: string) => read(folder, other.replace(/(\.tex)?$/, ".tex")),
  );
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) {
    console.error("Wanted: the folder of the specification's sources");
    Deno.exit(2);
  }
  const all = sections(read(folder, "introduction.tex") + read(folder, "content.tex"));
  const cited = [...new Set(CHECKS.map(({ section }) => section))].filter((each) =>
    /^\d/.test(each)
  );
  const missing = cited.filter((each) => !all.has(each));
  for (const each of missing) console.error(`There is no section ${each}`);
  const table = Object.fromEntries(
    [...all].filter(([number]) => cited.includes(number)),
  );
  Deno.writeTextFileSync(TABLE, `${JSON.stringify(table, null, 2)}\n`);
  if (missing.length > 0) Deno.exit(1);
}
