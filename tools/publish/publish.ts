const ROOT = new URL("../../", import.meta.url);

/** What Deno warns of and is meant so: which module it is, is known only when the program runs. */
const MEANT =
  /^warning\[unanalyzable-dynamic-import\].*\n *--> \S*\/(core\/kernel\/process_main|system)\.ts:/;

/** A package of the workspace. */
export interface Package {
  /** Its folder, from that of the workspace. */
  readonly folder: string;
  /** Its name. */
  readonly name: string;
  /** Its version. */
  readonly version: string;
  /** What it is, in one line. */
  readonly description: string;
}

/**
 * The packages: first the one that drivers import, which brings the drivers of the standard devices along; then each of these
 * drivers, as any other's.
 */
export const PACKAGES: readonly Package[] = [".", ...plugins()].map((folder) => {
  const file = new URL(`${folder}/deno.json`, ROOT);
  const { name, version, description } = JSON.parse(Deno.readTextFileSync(file));
  return { folder, name, version, description };
});

function plugins(): string[] {
  return [...Deno.readDirSync(new URL("plugins", ROOT))].map(({ name }) => `plugins/${name}`)
    .sort();
}

/** What {@linkcode publish} takes. */
export interface PublishOptions {
  /** More arguments of `deno publish`. */
  readonly args?: readonly string[];
  /** The registry; JSR if left out. */
  readonly registry?: string;
  /** Takes a line for each package. */
  readonly print: (line: string) => void;
}

/**
 * Publishes all packages.
 *
 * @throws Error If they do not have one version, or one of them cannot be published or not without a warning. What was
 *   published before it stays; said again, it goes on there.
 */
export async function publish({ args = [], registry, print }: PublishOptions): Promise<void> {
  checkVersions(PACKAGES);
  const copy = await copyOfTree();
  try {
    for (const { folder, name } of PACKAGES) {
      // What is in the package that drivers import reaches it by its own files.
      if (folder === ".") await configure(copy, "alone");
      else if (folder === PACKAGES[1]!.folder) await configure(copy, "workspace");
      const { success, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["publish", "--no-check", ...args],
        cwd: `${copy}/${folder}`,
        env: { NO_COLOR: "1", ...(registry === undefined ? {} : { JSR_URL: registry }) },
        stdout: "null",
      }).output();
      const said = new TextDecoder().decode(stderr);
      const warnings = warningsIn(said);
      if (!success || warnings.length > 0) {
        throw new Error(`Cannot publish ${name}:\n${success ? warnings.join("") : said}`);
      }
      print(`${name}: ${said.includes("already published") ? "is there already" : "published"}`);
    }
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

/** @throws Error If packages do not have one version: a driver must find the core that it was tested with. */
export function checkVersions(packages: readonly Pick<Package, "name" | "version">[]): void {
  if (new Set(packages.map(({ version }) => version)).size < 2) return;
  const each = packages.map(({ name, version }) => `${name} ${version}`).join(", ");
  throw new Error(`Packages must have one version, and these do not: ${each}`);
}

/** The warnings in what `deno publish` said, but for those that are meant so. */
export function warningsIn(said: string): readonly string[] {
  return said.split(/^(?=warning\b)/mi).slice(1).filter((each) => !MEANT.test(each));
}

/** What JSR keeps outside of packages and asks for in its score, to be set at the given addresses once. */
export function settings({ name, description }: Package): string {
  const runs = name === "@virtio/deno" ? "Deno, Node.js (see its README)" : "Deno, Node.js";
  return `https://jsr.io/${name}/settings: description "${description}"; runtimes ${runs}`;
}

/** Copies what the packages are made of; the path of its folder. */
async function copyOfTree(): Promise<string> {
  const { stdout } = await new Deno.Command("git", {
    args: ["ls-files", "-z", "--", ":!tests", ":!bridge", ":!bench"],
    cwd: ROOT,
  }).output();
  const copy = await Deno.makeTempDir({ prefix: "virtio-publish-" });
  for (const path of new TextDecoder().decode(stdout).split("\0").filter(Boolean)) {
    await Deno.mkdir(new URL(`./${path}/..`, `file://${copy}/`), { recursive: true });
    await Deno.copyFile(new URL(path, ROOT), `${copy}/${path}`);
  }
  return copy;
}

/**
 * Configures the copy: Deno's own packages come from the registry, as they do wherever this one is used. As a package alone
 * it has its plugins as any other folder, and its own names are those of its files.
 */
async function configure(copy: string, as: "alone" | "workspace"): Promise<void> {
  const { links: _, workspace, ...config } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  const own = Object.entries(config.exports).map(([name, path]) => [
    `${config.name}${name.slice(1)}`,
    path,
  ]);
  for (const { folder } of PACKAGES.slice(1)) {
    const file = `${copy}/${folder}/deno.json`;
    if (as === "workspace") await Deno.copyFile(new URL(`${folder}/deno.json`, ROOT), file);
    else await Deno.remove(file);
  }
  const whole = as === "workspace"
    ? { ...config, workspace }
    : { ...config, imports: { ...config.imports, ...Object.fromEntries(own) } };
  await Deno.writeTextFile(`${copy}/deno.json`, JSON.stringify(whole));
}
