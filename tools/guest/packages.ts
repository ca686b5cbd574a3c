/**
 * Debian packages, fetched and unpacked without installing them, and without root.
 *
 * @module
 */

/** What the guest is made of cannot be had on this machine. */
export class Unavailable extends Error {
  /** Tells the error apart. */
  override readonly name = "Unavailable";
}

/** A package in a version. */
export interface Package {
  /** Its name. */
  readonly name: string;
  /** Its version. */
  readonly version: string;
}

const TIME_LIMIT_MINUTES = 5;

/** Runs a program; what it printed. */
export async function run(command: string, args: readonly string[], cwd?: string): Promise<string> {
  const signal = AbortSignal.timeout(TIME_LIMIT_MINUTES * 60_000);
  let output;
  try {
    output = await new Deno.Command(command, {
      args: [...args],
      ...(cwd === undefined ? {} : { cwd }),
      env: { LC_ALL: "C" },
      stdin: "null",
      signal,
    }).output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Unavailable(`there is no ${command}`);
    throw error;
  }
  if (output.success) return new TextDecoder().decode(output.stdout);
  const said = new TextDecoder().decode(output.stderr).trim().split("\n").at(-1);
  const why = signal.aborted ? `it took longer than ${TIME_LIMIT_MINUTES} minutes` : said;
  throw new Unavailable(`${command} ${args.join(" ")} failed: ${why}`);
}

/** Lists of packages: options for apt that say where they are. */
export type Lists = readonly string[];

/** Those that the system has. They may be old, or none. */
export const SYSTEM_LISTS: Lists = [];

/** Fetches lists into an empty folder; nothing of the system changes. */
export async function freshLists(folder: string): Promise<Lists> {
  const options = [`Dir::State::Lists=${folder}/lists`, `Dir::Cache=${folder}/cache`];
  const lists = options.flatMap((option) => ["-o", option]);
  await Deno.mkdir(`${folder}/lists/partial`, { recursive: true });
  await Deno.mkdir(`${folder}/cache/archives/partial`, { recursive: true });
  await run("apt-get", [...lists, "-q", "update"]);
  return lists;
}

/** The package that a package without content stands for at present. */
export async function resolve(lists: Lists, name: string): Promise<Package> {
  const text = await run("apt-cache", [...lists, "show", "--no-all-versions", name]);
  const [, dependency, version] = /^Depends:.*?(\S+) \(= ([^)]+)\)/m.exec(text) ?? [];
  if (dependency && version) return { name: dependency, version };
  throw new Unavailable(`apt-cache does not say what ${name} depends on`);
}

/** Fetches packages and unpacks them into a folder. */
export async function unpack(lists: Lists, names: readonly string[], into: string): Promise<void> {
  const debs = await Deno.makeTempDir({ prefix: "virtio-packages-" });
  try {
    await run("apt-get", [...lists, "-q", "download", ...names], debs);
    for (const { name } of Deno.readDirSync(debs)) {
      await run("dpkg-deb", ["-x", `${debs}/${name}`, into]);
    }
  } finally {
    await Deno.remove(debs, { recursive: true });
  }
}
