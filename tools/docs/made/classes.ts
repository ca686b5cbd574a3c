import { CLASSES } from "../../../classes.ts";
import { code, table } from "../markdown.ts";

const ROOT = new URL("../../../", import.meta.url);

/** Each class: its lanes and properties from its value, the words of its records from the source of its protocol. */
export function classes(): string {
  return Object.entries(CLASSES).sort(([a], [b]) => a < b ? -1 : 1).flatMap(([name, value]) => {
    const { lanes, optional, properties } = value.protocol!;
    const protocol = sourceOf(name);
    const told = properties as Readonly<Record<string, { wanted: string; usual?: unknown }>>;
    return [
      `## ${name}`,
      "",
      `Driven by ${drivers(name).join(", ")}.` +
      (protocol === undefined
        ? " Its requests have the words that all have, and no others."
        : ` Driver and client agree on [${
          code(`@virtio/deno/classes/${name}`)
        }](../classes/${name}/protocol.ts).`),
      "",
      `Lanes: ${lanes.map(code).join(", ")}.` +
      (optional.length > 0 ? ` A driver may plan ${optional.map(code).join(", ")}, too.` : ""),
      ...properties_(told, protocol ?? ""),
      ...records(protocol ?? ""),
      "",
    ];
  }).join("\n");
}

/** What drivers tell of their devices. */
function properties_(
  told: Readonly<Record<string, { readonly wanted: string; readonly usual?: unknown }>>,
  protocol: string,
): string[] {
  const names = Object.keys(told);
  if (names.length === 0) return [];
  return [
    "",
    `### Properties`,
    "",
    table(
      ["property", "what it may be", "if left out", "what it says"],
      names.map((name) => [
        code(name),
        told[name]!.wanted,
        told[name]!.usual === undefined ? "" : code(JSON.stringify(told[name]!.usual)),
        commentOf(protocol, new RegExp(`^  readonly ${name}\\??:`, "m")),
      ]),
    ),
  ];
}

/** The constants of a protocol: words of records, operations, bits. */
function records(protocol: string): string[] {
  const constants =
    /\/\*\* ((?:(?!\*\/)[^])*) \*\/\nexport const (\w+) = \{\n([^]*?)\n\} as const/g;
  return [...protocol.matchAll(constants)].flatMap(([, comment, name, body]) => {
    const rows = [...body!.matchAll(/^ {2}(\w+): ([^{\n]+),$/gm)].map(([line, member, value]) => [
      code(member!),
      value!.replace(/^Word\.first( \+ (\d+))?$/, (_, __, more = "0") => String(3 + Number(more))),
      commentOf(body!, new RegExp(`^${line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`, "m")),
    ]);
    if (rows.length === 0) return [];
    return ["", `### ${name}`, "", plain(comment!), "", table(["name", "value", ""], rows)];
  });
}

/** The comment right above the first line that fits. */
function commentOf(text: string, line: RegExp): string {
  const at = text.search(line);
  const [, comment] =
    /\/\*\*\s+((?:(?!\*\/)[^])*?)\s*\*\/\s*$/.exec(text.slice(0, Math.max(at, 0))) ?? [];
  return plain(comment ?? "");
}

function plain(comment: string): string {
  return comment.replace(/\n\s*\*\s?/g, " ")
    // What goes on as code is one piece of code.
    .replace(/\{@linkcode ([^}|]+)[^}]*\}`/g, "`$1")
    .replace(/\{@linkcode ([^}|]+)[^}]*\}/g, "`$1`").trim();
}

function sourceOf(name: string): string | undefined {
  try {
    return Deno.readTextFileSync(new URL(`classes/${name}/protocol.ts`, ROOT));
  } catch {
    return undefined;
  }
}

/** The drivers of a class, as links. */
function drivers(name: string): string[] {
  return [...Deno.readDirSync(new URL("plugins", ROOT))].map((folder) => folder.name).sort()
    .filter((folder) => {
      const text = Deno.readTextFileSync(new URL(`plugins/${folder}/plugin.json`, ROOT));
      return JSON.parse(text).class === name;
    }).map((folder) => `[${code(folder)}](../plugins/${folder})`);
}
