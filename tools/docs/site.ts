/**
 * A site of the documentation: the README, all pages of `docs/`, the files that they link to, the API and manual pages.
 * Plain files: it can be looked at without a server.
 *
 *     deno run -A tools/docs/site.ts [folder]
 *
 * @module
 */

import MiniSearch from "minisearch";
import { exports } from "./exports.ts";
import { manuals } from "./manuals.ts";
import { type Entry, layout, NAVIGATION } from "./layout.ts";
import { render } from "./render.ts";

const ROOT = new URL("../../", import.meta.url);
/** Where it goes if nothing else is said: ignored by git. */
const FOLDER = ".cache/site";

/** Files that the site has as they are. */
const ASSETS = ["style.css", "site.js"];

/** The pages of the site: path in the project, and name in the site. */
export function sitePages(): [path: string, name: string][] {
  const docs = [...Deno.readDirSync(new URL("docs", ROOT))].map(({ name }) => name)
    .filter((name) => name.endsWith(".md")).sort();
  return [
    ["README.md", "index.html"],
    ...docs.map((name): [string, string] => [`docs/${name}`, name.replace(/\.md$/, ".html")]),
  ];
}

/** Folders of docs/ with what pages show: pictures, and a measurement. */
const AS_THEY_ARE = ["pictures", "speed"];

/**
 * Builds the site.
 *
 * @param folder Where it goes; what is there is removed.
 * @param api Whether to make the pages of the API, which takes longest.
 */
export async function build(folder: string, api = true): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  const pages = sitePages();
  const names = new Map(pages);
  const sources = new Set<string>();
  const entries: Entry[] = [];
  for (const [path, name] of pages) {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    const page = render(text, path, (target) => {
      const known = names.get(target);
      if (known !== undefined) return known;
      if (AS_THEY_ARE.some((folder) => target.startsWith(`docs/${folder}/`))) {
        return target.slice("docs/".length);
      }
      sources.add(target);
      return `source/${target}.html`;
    });
    entries.push(...page.sections.map((section) => ({ ...section, page: name })));
    Deno.writeTextFileSync(`${folder}/${name}`, layout({ ...page, name }));
  }
  writeSources(folder, sources);
  for (const name of AS_THEY_ARE) copy(`docs/${name}`, `${folder}/${name}`);
  for (const asset of ASSETS) {
    Deno.copyFileSync(new URL(asset, new URL("assets/", import.meta.url)), `${folder}/${asset}`);
  }
  writeSearch(folder, entries);
  Deno.mkdirSync(`${folder}/man`);
  for (const [name, text] of manuals()) Deno.writeTextFileSync(`${folder}/man/${name}`, text);
  if (api) await writeApi(`${folder}/api`);
}

/** The files that pages link to, and those in folders that they link to, to be read. */
function writeSources(folder: string, wanted: ReadonlySet<string>): void {
  const left = [...wanted];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const clean = path.replace(/\/$/, "");
    const file = `${folder}/source/${path}.html`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    const up = "../".repeat(path.split("/").length);
    let body;
    if (Deno.statSync(new URL(clean, ROOT)).isDirectory) {
      const inside = [...Deno.readDirSync(new URL(clean, ROOT))].map(({ name }) => name).sort();
      for (const name of inside) if (!wanted.has(`${clean}/${name}`)) left.push(`${clean}/${name}`);
      const link = (name: string) =>
        `<li><a href="${up}source/${clean}/${name}.html"><code>${name}</code></a></li>`;
      body = `<ul>${inside.map(link).join("")}</ul>`;
    } else {
      const text = Deno.readTextFileSync(new URL(clean, ROOT));
      const kind = clean.split(".").at(-1);
      body = render(`\`\`\`\`${kind}\n${text}\n\`\`\`\``, clean, (same) => same).body;
    }
    const page = { title: clean, body: `<h1>${clean}</h1>${body}`, sections: [], name: path, up };
    Deno.writeTextFileSync(file, layout(page));
  }
}

function copy(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name } of Deno.readDirSync(new URL(from, ROOT))) {
    Deno.copyFileSync(new URL(`${from}/${name}`, ROOT), `${to}/${name}`);
  }
}

/** The index that the page's own search loads, and the library that reads it. */
function writeSearch(folder: string, entries: readonly Entry[]): void {
  const index = new MiniSearch<Entry & { id: number }>({
    fields: ["title", "text"],
    storeFields: ["title", "page", "anchor", "of"],
  });
  index.addAll(entries.map((entry, id) => ({ ...entry, id })));
  // A script and no JSON: pages that are opened as files may not fetch.
  Deno.writeTextFileSync(
    `${folder}/search.js`,
    `searchIndex(${JSON.stringify(JSON.stringify(index))});`,
  );
  const library = new URL("../umd/index.js", import.meta.resolve("minisearch"));
  Deno.copyFileSync(library, `${folder}/minisearch.js`);
}

async function writeApi(folder: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--html", "--name=virtio for Deno", `--output=${folder}`, ...exports()],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

if (import.meta.main) {
  const folder = Deno.args[0] ?? new URL(FOLDER, ROOT).pathname;
  await build(folder);
  console.log(`${folder}/index.html`);
}

export { NAVIGATION };
