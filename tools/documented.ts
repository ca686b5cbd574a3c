/**
 * `deno task doc`: what the packages export without saying what it is. Symbols, as JSR's score counts them, their members besides,
 * which it does not count, and what `deno doc --lint` finds.
 *
 * @module
 */

import { PACKAGES } from "./publish/publish.ts";

const ROOT = new URL("../", import.meta.url);

/** Whatever has a comment of its own: the parts of `deno doc --json` that are looked at. */
interface Noted {
  readonly name?: string;
  readonly jsDoc?: { readonly doc?: string };
  readonly accessibility?: "private" | "protected" | "public";
  readonly location?: { readonly filename: string; readonly line: number };
  readonly tsType?: { readonly kind: string };
  readonly kind?: string;
}

interface Members extends Noted {
  readonly def?: {
    readonly constructors?: readonly (Noted & { readonly params: readonly unknown[] })[];
    readonly methods?: readonly Noted[];
    readonly properties?: readonly Noted[];
    readonly members?: readonly Noted[];
    readonly elements?: readonly Symbol[];
    readonly tsType?: Type;
  };
}

interface Type {
  readonly kind: string;
  readonly value?: Members["def"] | readonly Type[];
}

interface Symbol {
  readonly name: string;
  readonly declarations: readonly (Members & { readonly declarationKind: string })[];
}

interface Documentation {
  readonly nodes: Readonly<
    Record<string, {
      readonly module_doc?: Noted["jsDoc"];
      readonly symbols: readonly Symbol[];
    }>
  >;
}

/** What was counted. */
export interface Documented {
  /** How many modules, symbols and members there are. */
  readonly total: number;
  /** Those without a comment: `<file>:<line> <name>`. */
  readonly missing: readonly string[];
}

/**
 * Counts what modules export.
 *
 * @param modules Their paths, from the root of the project.
 * @throws Error If `deno doc` cannot read one of them.
 */
export async function documented(modules: readonly string[]): Promise<Documented> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...modules],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as Documentation;
  // A symbol that several modules export stands once.
  const counted = new Map<string, boolean>();
  const count = (name: string, { jsDoc, accessibility, location }: Noted): void => {
    if (accessibility === "private") return;
    const place = location ? `${location.filename.replace(ROOT.href, "")}:${location.line} ` : "";
    const said = (jsDoc?.doc ?? "").trim() !== "";
    counted.set(`${place}${name}`, said || (counted.get(`${place}${name}`) ?? false));
  };
  const visit = ({ name, declarations }: Symbol, before = ""): void => {
    for (const declaration of declarations) {
      // What another of the modules exports is looked at there.
      if (declaration.declarationKind === "private" || declaration.kind === "reference") continue;
      count(before + name, declaration);
      for (const [member, noted] of members(declaration.def)) {
        count(`${before}${name}.${member}`, noted);
      }
      // What several shapes of one type have in common is said once.
      for (const [member, { location: _, ...noted }] of typeMembers(declaration.def?.tsType)) {
        count(`${before}${name}.${member}`, { ...noted, location: declaration.location! });
      }
      for (const inner of declaration.def?.elements ?? []) visit(inner, `${before}${name}.`);
    }
  };
  for (const [file, { module_doc, symbols }] of Object.entries(nodes)) {
    count("(the module)", {
      ...(module_doc && { jsDoc: module_doc }),
      location: { filename: file, line: 1 },
    });
    for (const symbol of symbols) visit(symbol);
  }
  const missing = [...counted].filter(([, said]) => !said).map(([name]) => name).sort();
  return { total: counted.size, missing };
}

/** What of a symbol has a name of its own: not a constructor without parameters, of which there is nothing to say. */
function* members(def: Members["def"]): Generator<[string, Noted]> {
  if (!def) return;
  for (const each of def.constructors ?? []) {
    if (each.params.length > 0) yield ["constructor", each];
  }
  for (const each of [...def.methods ?? [], ...def.properties ?? [], ...def.members ?? []]) {
    // The word that tells one of several shapes from the others says itself what it is, and so do the specification's names in
    // a table of them; a getter speaks for its setter.
    if (each.tsType?.kind === "literal" || each.kind === "setter") continue;
    if (/^[A-Z][A-Z\d_]+$/.test(each.name ?? "")) continue;
    yield [each.name ?? "?", each];
  }
}

/** The members of a type that is written where it is used, but not those within these. */
function* typeMembers(type: Type | undefined): Generator<[string, Noted]> {
  if (Array.isArray(type?.value)) {
    for (const each of type.value) yield* typeMembers(each);
  } else if (type?.kind === "typeLiteral") yield* members(type.value as Members["def"]);
}

/** The modules that a package exports, from the root of the project. */
export function exportsOf(folder: string): readonly string[] {
  const { exports } = JSON.parse(Deno.readTextFileSync(new URL(`${folder}/deno.json`, ROOT)));
  return [...new Set(Object.values<string>(exports))].filter((path) => path.endsWith(".ts"))
    .map((path) => `${folder}/${path}`.replaceAll("./", ""));
}

/** What `deno doc --lint` says of modules: nothing, if all is well. */
export async function lint(modules: readonly string[]): Promise<string> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--lint", ...modules],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdout: "null",
  }).output();
  return success ? "" : new TextDecoder().decode(stderr);
}

if (import.meta.main) {
  // All at once: what one of them exports another may name.
  let wrong = await lint(PACKAGES.flatMap(({ folder }) => exportsOf(folder)));
  for (const { folder, name } of PACKAGES) {
    const { total, missing } = await documented(exportsOf(folder));
    console.log(`${name}: ${total - missing.length} of ${total} documented`);
    for (const each of missing) console.log(`  ${each}`);
    wrong += missing.join("\n");
  }
  if (wrong !== "") {
    console.error(wrong);
    Deno.exit(1);
  }
}
