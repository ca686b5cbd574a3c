/**
 * Writes `docs/features.md`: for each row of each device, where a test proves it. The rows stand in
 * `plugins/<name>/features.json`, and those of the other parts (limits and promises of the core, the commands, the NBD
 * server) in `<part>/features.json`; a test says in its name what it proves: `#blk:DISCARD`, `#nbd:long_name`.
 *
 * @module
 */

const ROOT = new URL("../", import.meta.url);
const PAGE = new URL("docs/features.md", ROOT);

/** Folders that have rows of their own, beside those of the plugins. */
const PARTS = [
  "core",
  "classes",
  "machine",
  "simulation",
  "serve",
  "testing",
  "watch",
  "cli",
  "nbd",
  "conform",
  "bench",
];

/** How a test proves a row, from the strongest way to the weakest. */
const WAYS = ["guest", "QEMU", "simulation", "unit"] as const;
type Way = typeof WAYS[number];

/** A tag in the name of a test. */
export interface Proof {
  /** Name of the device's plugin. */
  readonly device: string;
  /** The row. */
  readonly row: string;
  readonly way: Way;
  /** Path of the test's file. */
  readonly file: string;
}

/** Rows of a device, in their order: what each is. */
type Rows = Readonly<Record<string, string>>;

/** A test's beginning with its name, whatever stands between them. */
const TEST = /\b(Deno\.test|qemuTest|eachQemuTest|newerQemuTest|testWith|\.step|check)\(/g;
const TAG = /#([a-z]+):([\w.-]*\w)/g;

/** The tags in the text of a test file. */
export function proofs(file: string, text: string): Proof[] {
  const starts = [...text.matchAll(TEST)];
  return [...text.matchAll(TAG)].map((tag) => {
    const start = starts.findLast(({ index }) => index < tag.index);
    return { device: tag[1]!, row: tag[2]!, way: wayOf(file, start?.[1]), file };
  });
}

function wayOf(file: string, start: string | undefined): Way {
  if (file.startsWith("tests/guest")) return "guest";
  if (/qemuTest$/i.test(start ?? "") || file.endsWith("qemu_test.ts")) return "QEMU";
  return file.startsWith("tests/") ? "simulation" : "unit";
}

/** The whole page. */
export function page(devices: Readonly<Record<string, Rows>>, all: readonly Proof[]): string {
  const lines = [
    "# What is proved, and where",
    "",
    "Each row of FreeBSD's, Linux's and the specification's feature lists that the drivers take part in, and the tests that",
    "name it. Made by `deno task features` from the names of the tests; `tests/features_test.ts` fails where this page is old.",
    "A row without a proof says so.",
  ];
  for (const [device, rows] of Object.entries(devices)) {
    const own = all.filter((proof) => proof.device === device);
    const proved = Object.keys(rows).filter((row) => own.some((proof) => proof.row === row));
    lines.push(
      "",
      `## ${device}`,
      "",
      `${proved.length} of ${Object.keys(rows).length} rows are proved.`,
      "",
      "| row | what | proved by |",
      "| --- | --- | --- |",
      ...Object.entries(rows).map(([row, what]) =>
        `| ${row} | ${what} | ${places(own.filter((proof) => proof.row === row))} |`
      ),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Files by the way in which they prove something, each once. */
function places(found: readonly Proof[]): string {
  if (found.length === 0) return "**not proved**";
  return WAYS.flatMap((way) => {
    const files = new Set(found.filter((proof) => proof.way === way).map(({ file }) => file));
    if (files.size === 0) return [];
    const links = [...files].sort().map((file) => `[${file.split("/").at(-1)}](../${file})`);
    return [`${way}: ${links.join(", ")}`];
  }).join("; ");
}

/** Paths of all test files and of what the guest runs. */
function* testFiles(folder = ""): Generator<string> {
  const entries = [...Deno.readDirSync(new URL(folder || ".", ROOT))];
  for (const { name, isDirectory } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = `${folder}${name}`;
    const own = [...PARTS, "plugins", "tests", "tools"].includes(path.split("/")[0]!);
    if (isDirectory && own) yield* testFiles(`${path}/`);
    else if (own && (name.endsWith("_test.ts") || path.startsWith("tests/guest"))) yield path;
  }
}

/** The page as it should be now, and the tags that name no row. */
export function read(): { readonly text: string; readonly unknown: readonly Proof[] } {
  const devices: Record<string, Rows> = {};
  const plugins = [...Deno.readDirSync(new URL("plugins", ROOT))].map(({ name }) => name).sort();
  for (const path of [...plugins.map((name) => `plugins/${name}`), ...PARTS]) {
    try {
      devices[path.split("/").at(-1)!] = JSON.parse(
        Deno.readTextFileSync(new URL(`${path}/features.json`, ROOT)),
      );
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const all = [...testFiles()].filter((file) => file !== "tests/features_test.ts")
    .flatMap((file) => proofs(file, Deno.readTextFileSync(new URL(file, ROOT))));
  return {
    text: page(devices, all),
    unknown: all.filter(({ device, row }) => devices[device]?.[row] === undefined),
  };
}

/** The page as it is. */
export function written(): string {
  return Deno.readTextFileSync(PAGE);
}

if (import.meta.main) {
  const { text, unknown } = read();
  for (const { file, device, row } of unknown) {
    console.error(`${file}: the features.json of ${device} has no row ${row}`);
  }
  Deno.writeTextFileSync(PAGE, text);
  Deno.exit(unknown.length > 0 ? 1 : 0);
}
