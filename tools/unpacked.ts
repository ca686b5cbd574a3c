/**
 * Programs of Debian's newer suites, unpacked into the cache with all their libraries and not installed. Tests run on
 * them besides those of the system.
 *
 * @module
 */

import { cacheFolder, exists, kept } from "./cache.ts";
import { otherLists, run, Unavailable, unpackWhole } from "./packages.ts";

interface Unpacked {
  /** What people call it. */
  readonly title: string;
  /** Packages, or patterns of their names. */
  readonly packages: readonly string[];
  /** The suite that they are of. */
  readonly suite: "trixie" | "trixie-backports";
  /** Path of the program in them. */
  readonly program: string;
  /** Arguments without which it finds nothing of what came along; `$root` is where that is. */
  readonly arguments?: readonly string[];
}

const LIBRARIES = "usr/lib/x86_64-linux-gnu";

const PROGRAMS = {
  "newer-qemu": {
    title: "a newer QEMU",
    packages: ["qemu-system-x86"],
    suite: "trixie-backports",
    program: "usr/bin/qemu-system-x86_64",
    arguments: ["-L", "$root/usr/share/qemu", "-L", "$root/usr/share/seabios"],
  },
  "storage-daemon-10": {
    title: "qemu-storage-daemon 10",
    packages: ["qemu-utils"],
    suite: "trixie",
    program: "usr/bin/qemu-storage-daemon",
  },
  "storage-daemon-11": {
    title: "qemu-storage-daemon 11",
    packages: ["qemu-utils"],
    suite: "trixie-backports",
    program: "usr/bin/qemu-storage-daemon",
  },
  "virtiofsd": {
    title: "virtiofsd",
    packages: ["virtiofsd"],
    suite: "trixie",
    program: "usr/libexec/virtiofsd",
  },
  "testpmd": {
    title: "DPDK's testpmd",
    // The version of their interface is in the names of what it loads.
    packages: ["dpdk-dev", "^librte-(net-vhost|net-virtio|mempool-ring)[0-9]+$"],
    suite: "trixie",
    program: "usr/bin/dpdk-testpmd",
    arguments: ["-d", `$root/${LIBRARIES}/dpdk/pmds-25.0`],
  },
  "nbdkit": {
    title: "nbdkit with libblkio",
    packages: ["nbdkit", "libblkio-dev"],
    suite: "trixie",
    program: "usr/bin/nbdkit",
  },
} as const satisfies Readonly<Record<string, Unpacked>>;

/** Which of them, which is the name of its folder as well. */
export type UnpackedName = keyof typeof PROGRAMS;

/** All of them. */
export const UNPACKED = Object.keys(PROGRAMS) as readonly UnpackedName[];

const SUITES = ["trixie", "trixie-backports"];

/** What people call it. */
export function unpackedTitle(name: UnpackedName): string {
  return PROGRAMS[name].title;
}

/** Path of the program; undefined where it was not fetched. */
export function unpacked(name: UnpackedName): string | undefined {
  const path = `${cacheFolder()}/${name}/${fileName(name)}`;
  return exists(path) ? path : undefined;
}

/** Where its packages were unpacked; undefined where they were not fetched. */
export function unpackedRoot(name: UnpackedName): string | undefined {
  const path = `${cacheFolder()}/${name}/root`;
  return exists(path) ? path : undefined;
}

/**
 * Fetches it, unless it is there: a user who wants a newer one removes its folder from the cache.
 *
 * @returns Path of the program.
 * @throws {Unavailable} If it cannot be had here, with the reason.
 */
export async function fetchUnpacked(name: UnpackedName): Promise<string> {
  if (Deno.build.target !== "x86_64-unknown-linux-gnu") {
    throw new Unavailable(`it is for x86_64-unknown-linux-gnu, not ${Deno.build.target}`);
  }
  return `${await kept(name, (folder) => build(name, folder))}/${fileName(name)}`;
}

function fileName(name: UnpackedName): string {
  return PROGRAMS[name].program.split("/").at(-1)!;
}

async function build(name: UnpackedName, folder: string): Promise<void> {
  const { packages, suite }: Unpacked = PROGRAMS[name];
  const work = await Deno.makeTempDir({ prefix: "virtio-lists-" });
  try {
    await unpackWhole(await otherLists(work, SUITES), packages, suite, `${folder}/root`);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  const program = `${folder}/${fileName(name)}`;
  await Deno.writeTextFile(program, script(PROGRAMS[name]), { mode: 0o755 });
  await run(program, ["--help"]); // if it does not run here, it is not kept
}

/** Starts it with its own libraries, loadable modules and firmware; the system's would be found else. */
function script({ program, arguments: more = [] }: Unpacked): string {
  return `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
export QEMU_MODULE_DIR="$root/${LIBRARIES}/qemu"
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/${LIBRARIES}" \\
  "$root/${program}"${more.map((each) => ` "${each}"`).join("")} "$@"
`;
}

if (import.meta.main) {
  for (const name of UNPACKED) console.log(await fetchUnpacked(name));
}
