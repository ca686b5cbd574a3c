/**
 * A newer QEMU than the system's: that of Debian's newer suites, unpacked into the cache with all its libraries and
 * not installed. Tests run on both.
 *
 * @module
 */

import { cacheFolder, exists, kept } from "./cache.ts";
import { otherLists, run, Unavailable, unpackWhole } from "./packages.ts";

const FOLDER = "newer-qemu";
const PROGRAM = "qemu-system-x86_64";
const SUITE = "trixie-backports";
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";
const SOURCES = ["trixie", SUITE]
  .map((suite) => `deb [signed-by=${KEYS}] http://deb.debian.org/debian ${suite} main`);

/** Path of the program; undefined where it was not fetched. */
export function newerQemu(): string | undefined {
  const path = `${cacheFolder()}/${FOLDER}/${PROGRAM}`;
  return exists(path) ? path : undefined;
}

/**
 * Fetches it, unless it is there: a user who wants a newer one removes the folder `newer-qemu` from the cache.
 *
 * @returns Path of the program.
 * @throws {Unavailable} If it cannot be had here, with the reason.
 */
export async function fetchNewerQemu(): Promise<string> {
  if (Deno.build.target !== "x86_64-unknown-linux-gnu") {
    throw new Unavailable(`it is for x86_64-unknown-linux-gnu, not ${Deno.build.target}`);
  }
  return `${await kept(FOLDER, build)}/${PROGRAM}`;
}

async function build(folder: string): Promise<void> {
  if (!exists(KEYS)) throw new Unavailable(`Debian's keys are not here (${KEYS})`);
  const work = await Deno.makeTempDir({ prefix: "virtio-lists-" });
  try {
    await unpackWhole(
      await otherLists(work, SOURCES),
      ["qemu-system-x86"],
      SUITE,
      `${folder}/root`,
    );
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  const program = `${folder}/${PROGRAM}`;
  await Deno.writeTextFile(program, SCRIPT, { mode: 0o755 });
  await run(program, ["--version"]); // if it does not run here, it is not kept
}

/** Starts it with its own libraries, loadable modules and firmware; the system's would be found else. */
const SCRIPT = `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root/usr
export QEMU_MODULE_DIR="$root/lib/x86_64-linux-gnu/qemu"
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/lib/x86_64-linux-gnu" \\
  "$root/bin/${PROGRAM}" -L "$root/share/qemu" -L "$root/share/seabios" "$@"
`;

if (import.meta.main) console.log(await fetchNewerQemu());
