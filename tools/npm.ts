/**
 * `deno task npm`: makes the npm package, of what runs without Deno: plugins, classes, device models, virtqueues and codecs.
 * `deno pack` makes it. `--dnt <folder>` makes it with `@deno/dnt` instead, which comes from JSR.
 *
 * @module
 */

import { moduleGraph } from "./module_graph.ts";

const ROOT = new URL("../", import.meta.url);

/** Where Deno's own tool for npm packages is. */
const DNT = "jsr:@deno/dnt@^0.42.0";

/** The models of the standard devices, which are packages of their own on JSR. */
const MODELS: Readonly<Record<string, string>> = {
  "./models/balloon": "./plugins/balloon/model.ts",
  "./models/block": "./plugins/blk/model.ts",
  "./models/console": "./plugins/console/model.ts",
  "./models/entropy": "./plugins/random/model.ts",
  "./models/network": "./plugins/vtnet/model.ts",
  "./models/nvme": "./plugins/nvme/model.ts",
  "./models/scsi": "./plugins/scsi/model.ts",
};

/** A module that cannot be imported. */
const REFUSES = (sentence: string): string =>
  `/**
 * There on Deno only: elsewhere, importing it fails.
 *
 * @module
 */

/** What it needs. */
export const needs: "Deno" = "Deno";

throw new Error(${sentence});
`;

/** What the package is, from its `deno.json`. */
interface Config {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly compilerOptions: Readonly<Record<string, unknown>>;
}

/** The exports of the npm package. */
export interface NpmExports {
  /** The modules of those that run anywhere, by name. */
  readonly pure: Readonly<Record<string, string>>;
  /** The names of those that need Deno. */
  readonly denoOnly: readonly string[];
  /** Paths of the modules that the former consist of. */
  readonly modules: readonly string[];
}

const CONFIG: Config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));

/** Sorts the exports of `@virtio/deno` by what they import: what uses the operating system needs Deno. */
export async function npmExports(): Promise<NpmExports> {
  const pure: Record<string, string> = {};
  const denoOnly: string[] = [];
  const modules = new Set<string>();
  const entries = Object.entries({ ...CONFIG.exports, ...MODELS })
    .filter(([, path]) => path.endsWith(".ts"));
  const all = entries.map(([, path]) => `import ${JSON.stringify(new URL(path, ROOT).href)};`);
  const whole = `data:text/javascript,${encodeURIComponent(all.join(""))}`;
  const imported = await moduleGraph(whole, ROOT);
  for (const [name, path] of entries) {
    const found = new Set([new URL(path, ROOT).href]);
    for (const each of found) imported.get(each)?.forEach((other) => found.add(other));
    if ([...found].some((each) => /\/core\/linux\/|^npm:/.test(each))) denoOnly.push(name);
    else {
      pure[name] = path;
      for (const each of found) modules.add(each.slice(ROOT.href.length));
    }
  }
  return { pure, denoOnly, modules: [...modules] };
}

/** What importing an export that needs Deno says, elsewhere. */
function refusal(name: string, pure: readonly string[]): string {
  return `${CONFIG.name}${
    name.slice(1)
  } needs Deno, where it is jsr:${CONFIG.name}: it opens devices by ` +
    `Deno.dlopen. What there is here: ${pure.map((each) => each.slice(1)).join(", ")}`;
}

/**
 * Makes the package.
 *
 * @param file Where the tarball is to be.
 * @throws Error If `deno pack` cannot make it, or not with types.
 */
export async function pack(file: string): Promise<void> {
  using tree = await copyOfPure();
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["pack", "--no-source-maps", "--allow-dirty", "--output", file],
    cwd: tree.url,
    env: { NO_COLOR: "1" },
  }).output();
  const said = new TextDecoder().decode(stderr);
  if (!success) throw new Error(said);
  // It makes a package without types, too, and says why.
  const [wrong] = /^error[^]*/m.exec(said) ?? [];
  if (wrong !== undefined) {
    throw new Error(`Cannot declare the types of the npm package:\n${wrong}`);
  }
}

/** The parts of dnt that are used. */
interface Dnt {
  build(options: Readonly<Record<string, unknown>>): Promise<void>;
}

/**
 * Makes a folder of the same package by dnt.
 *
 * @returns Why not, in a sentence, where dnt cannot be had; undefined if all went well.
 */
export async function buildByDnt(folder: string): Promise<string | undefined> {
  let dnt: Dnt;
  try {
    dnt = await import(DNT);
  } catch (error) {
    return `skipped: ${DNT} cannot be fetched (${(error as Error).message.split("\n")[0]})`;
  }
  using tree = await copyOfPure();
  const { exports } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", tree.url))) as Config;
  const entries = Object.entries(exports);
  await dnt.build({
    entryPoints: entries.map(([name, path]) => ({ name, path: new URL(path, tree.url).pathname })),
    importMap: new URL("deno.json", tree.url).href,
    outDir: folder,
    scriptModule: false,
    declaration: "inline",
    shims: {},
    test: false,
    compilerOptions: { lib: ["ES2024", "ESNext.Disposable"], target: "ES2022" },
    package: {
      name: CONFIG.name,
      version: CONFIG.version,
      description: CONFIG.description,
      license: CONFIG.license,
      engines: { node: ">=20" },
    },
  });
  return undefined;
}

/** What the package is made of, in a folder that goes afterwards. */
async function copyOfPure(): Promise<{ readonly url: URL } & Disposable> {
  const { pure, denoOnly, modules } = await npmExports();
  const home = Deno.makeTempDirSync({ prefix: "virtio-npm-" });
  const url = new URL(`file://${home}/`);
  const exports: Record<string, string> = { ...pure };
  const write = (path: string, text: string | Uint8Array) => {
    Deno.mkdirSync(new URL(".", new URL(path, url)), { recursive: true });
    if (typeof text === "string") Deno.writeTextFileSync(new URL(path, url), text);
    else Deno.writeFileSync(new URL(path, url), text);
  };
  for (const path of modules) write(path, Deno.readFileSync(new URL(path, ROOT)));
  for (const name of ["LICENSE", "README.md"]) write(name, Deno.readFileSync(new URL(name, ROOT)));
  for (const name of denoOnly) {
    const path = `./deno_only/${name === "." ? "main" : name.slice(2)}.ts`;
    write(path, REFUSES(JSON.stringify(refusal(name, Object.keys(pure).sort()))));
    exports[name] = path;
  }
  const own = Object.entries(CONFIG.exports).map((
    [name, path],
  ) => [`${CONFIG.name}${name.slice(1)}`, path]);
  const { name, version, description, license, compilerOptions } = CONFIG;
  const config = { name, version, description, license, exports, compilerOptions };
  write("deno.json", JSON.stringify({ ...config, imports: Object.fromEntries(own) }));
  return { url, [Symbol.dispose]: () => Deno.removeSync(home, { recursive: true }) };
}

if (import.meta.main) {
  const [option, folder] = Deno.args;
  if (option === "--dnt") {
    console.log(await buildByDnt(folder ?? "npm") ?? `${folder ?? "npm"} is the package`);
  } else {
    const file = option ?? `${CONFIG.name.slice(1).replace("/", "-")}-${CONFIG.version}.tgz`;
    await pack(new URL(file, `file://${Deno.cwd()}/`).pathname);
    console.log(file);
  }
}
