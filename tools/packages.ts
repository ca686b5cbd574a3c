/**
 * Debian packages, fetched and unpacked without installing them, and without root.
 *
 * @module
 */

import { exists } from "./cache.ts";

/** What is made of packages cannot be had on this machine. */
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
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
export function freshLists(folder: string): Promise<Lists> {
  return fetchLists(folder, []);
}

/**
 * Fetches lists of Debian's suites into an empty folder, for a system on which nothing is installed.
 *
 * @param suites Their names; those of the system play no part.
 * @throws {Unavailable} If they cannot be had, or not be trusted, here.
 */
export async function otherLists(folder: string, suites: readonly string[]): Promise<Lists> {
  if (!exists(KEYS)) throw new Unavailable(`Debian's keys are not here (${KEYS})`);
  const sources = suites
    .map((suite) => `deb [signed-by=${KEYS}] http://deb.debian.org/debian ${suite} main`);
  await Deno.writeTextFile(`${folder}/sources.list`, sources.join("\n"));
  await Deno.writeTextFile(`${folder}/status`, "");
  return await fetchLists(folder, [
    `Dir::Etc::SourceList=${folder}/sources.list`,
    `Dir::State::Status=${folder}/status`,
    ...["SourceParts", "Preferences", "PreferencesParts"].map((name) =>
      `Dir::Etc::${name}=/dev/null`
    ),
  ]);
}

async function fetchLists(folder: string, more: readonly string[]): Promise<Lists> {
  const options = [`Dir::State::Lists=${folder}/lists`, `Dir::Cache=${folder}/cache`, ...more];
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

/** Fetches packages and unpacks them into a folder. apt takes none whose checksum is not that of the signed list. */
export async function unpack(lists: Lists, names: readonly string[], into: string): Promise<void> {
  const debs = await Deno.makeTempDir({ prefix: "virtio-packages-" });
  try {
    await run("apt-get", [...lists, "-q", "download", ...names], debs);
    await unpackAll(debs, into);
  } finally {
    await Deno.remove(debs, { recursive: true });
  }
}

/**
 * Likewise packages with all that they need and the system does not have.
 *
 * @param lists Of {@linkcode freshLists} or {@linkcode otherLists}, whose folder still is there.
 * @param names Of packages, or patterns of names.
 * @param suite The one that is preferred.
 */
export async function unpackWhole(
  lists: Lists,
  names: readonly string[],
  suite: string,
  into: string,
): Promise<void> {
  const debs = await Deno.makeTempDir({ prefix: "virtio-packages-" });
  try {
    await Deno.mkdir(`${debs}/partial`);
    const options = ["-o", `Dir::Cache::Archives=${debs}`, "--no-install-recommends"];
    const install = ["-q", "-y", "install", "--download-only", "-t", suite, ...names];
    await run("apt-get", [...lists, ...options, ...install]);
    await unpackAll(debs, into);
  } finally {
    await Deno.remove(debs, { recursive: true });
  }
}

async function unpackAll(debs: string, into: string): Promise<void> {
  for (const { name } of Deno.readDirSync(debs)) {
    if (name.endsWith(".deb")) await run("dpkg-deb", ["-x", `${debs}/${name}`, into]);
  }
}
