import { code, table } from "../markdown.ts";

const FOLDER = new URL("../../../schemas/", import.meta.url);

/** A schema, as far as it is shown. */
interface Schema {
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly definitions?: Readonly<Record<string, Schema>>;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

/** Each file of `schemas/`: its fields, and those of what it defines. */
export function schemas(): string {
  return [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) =>
    name.endsWith(".json")
  )
    .sort().map(page).join("\n\n");
}

function page(file: string): string {
  const schema: Schema = JSON.parse(Deno.readTextFileSync(new URL(file, FOLDER)));
  const parts = { ...schema.definitions, ...schema.$defs };
  return [
    `## ${file}`,
    "",
    `${schema.description ?? schema.title ?? ""} The schema is [${
      code(`schemas/${file}`)
    }](../schemas/${file}).`.trim(),
    "",
    ...fields(schema),
    ...Object.entries(parts).flatMap(([name, part]) => {
      const rows = fields(part);
      return rows.length === 0 ? [] : [
        "",
        `### ${file.replace(/\.json$/, "")}: ${name}`,
        "",
        part.description ?? "",
        "",
        ...rows,
      ];
    }),
  ].join("\n");
}

function fields(schema: Schema): string[] {
  const rows = rowsOf(schema, "");
  return rows.length === 0 ? [] : [table(["field", "what it is", ""], rows)];
}

function rowsOf({ properties = {}, required = [] }: Schema, before: string): string[][] {
  return Object.entries(properties).flatMap(([name, property]) => {
    const path = `${before}${name}`;
    const inner = property.properties ? rowsOf(property, `${path}.`) : [];
    const items = property.items?.properties ? rowsOf(property.items, `${path}[].`) : [];
    return [
      [
        code(path),
        typeOf(property) + (required.includes(name) ? "" : ", may be left out"),
        saysOf(property),
      ],
      ...inner,
      ...items,
    ];
  });
}

function saysOf({ description = "", default: usual }: Schema): string {
  return usual === undefined
    ? description
    : `${description} ${code(JSON.stringify(usual))} if left out.`.trim();
}

function typeOf({ type, enum: values, const: only, $ref, items, ...more }: Schema): string {
  if (only !== undefined) return code(JSON.stringify(only));
  if (values) return values.map((value) => code(JSON.stringify(value))).join(", ");
  if ($ref !== undefined) return $ref.split("/").at(-1)!.replace(/\.json$/, "");
  const { allOf, anyOf } = more;
  if (allOf ?? anyOf) return [...(allOf ?? anyOf)!].map(typeOf).join(" or ");
  if (items) return `list of ${typeOf(items)}`;
  if (type === undefined) return more.properties ? "object" : "any";
  return typeof type === "string" ? type : type.join(" or ");
}
