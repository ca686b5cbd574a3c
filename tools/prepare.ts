/**
 * Makes the machine ready for the tests: installs what they need where that is possible, and says
 * what will be skipped where it is not. It never fails; a test looks for itself what is there.
 *
 * @module
 */

import { fetchUnpacked, UNPACKED, unpacked, unpackedTitle } from "./unpacked.ts";

interface Need {
  command: string;
  package: string;
  /** What is skipped without it. */
  tests: string;
}

const NEEDS: Need[] = [
  { command: "qemu-system-x86_64", package: "qemu-system-x86", tests: "tests on a QEMU machine" },
  { command: "lspci", package: "pciutils", tests: "tests that compare with lspci" },
  { command: "gcc", package: "gcc", tests: "tests and benchmarks against C" },
  { command: "ip", package: "iproute2", tests: "tests with a network interface of this machine" },
  { command: "ping", package: "iputils-ping", tests: "tests with ping(8) through net bridge" },
  { command: "tshark", package: "tshark", tests: "tests of what net dump writes" },
  // gcc alone brings no headers without its recommendations.
  {
    command: "/usr/include/stdio.h",
    package: "libc6-dev",
    tests: "tests and benchmarks against C",
  },
  {
    command: "nbdinfo",
    package: "libnbd-bin",
    tests: "tests of the NBD server with libnbd's tools",
  },
  {
    command: "/usr/bin/nbdsh",
    package: "python3-libnbd",
    tests: "tests of the NBD server's answers to odd requests",
  },
  {
    command: "qemu-img",
    package: "qemu-utils",
    tests: "tests of the NBD server with QEMU's tools",
  },
  { command: "fio", package: "fio", tests: "tests of the NBD server with fio" },
  {
    command: "/usr/share/OVMF/OVMF_CODE_4M.fd",
    package: "ovmf",
    tests: "tests of UEFI firmware on served devices",
  },
  { command: "mke2fs", package: "e2fsprogs", tests: "tests of file systems on served disks" },
  // 125 MB to fetch with what it needs; that and installing it took 45 s on a machine that was busy.
  {
    command: "chromium",
    package: "chromium",
    tests: "tests of the page of a trace in a browser",
  },
  { command: "zsh", package: "zsh", tests: "tests of completions in zsh" },
  { command: "fish", package: "fish", tests: "tests of completions in fish" },
];

const TIME_LIMIT_MINUTES = 10;

/** A command on the PATH, or a file by its absolute path. */
function present(command: string): boolean {
  const folders = command.startsWith("/") ? [""] : (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => {
    try {
      return Deno.statSync(folder === "" ? command : `${folder}/${command}`).isFile;
    } catch {
      return false;
    }
  });
}

function whyNotInstall(): string | undefined {
  if (!present("apt-get")) return "there is no apt-get to install it with";
  if (Deno.uid() !== 0) return "only root may install it";
}

async function aptGet(signal: AbortSignal, ...args: string[]): Promise<string | undefined> {
  try {
    const { success, stderr } = await new Deno.Command("apt-get", {
      args: ["-qq", "-o", "DPkg::Lock::Timeout=120", ...args],
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      signal,
    }).output();
    if (signal.aborted) return `apt-get took longer than ${TIME_LIMIT_MINUTES} minutes`;
    if (!success) return new TextDecoder().decode(stderr).trim().split("\n").at(-1);
  } catch (error) {
    return String(error);
  }
}

async function install(missing: Need[]): Promise<void> {
  const signal = AbortSignal.timeout(TIME_LIMIT_MINUTES * 60_000);
  console.log(`prepare: installing ${missing.map((need) => need.package).join(", ")}`);
  // When this fails the lists may still be good enough; the install has the last word.
  await aptGet(signal, "update");
  for (const need of missing) {
    const failure = await aptGet(signal, "install", "-y", "--no-install-recommends", need.package);
    if (failure !== undefined) console.log(`prepare: ${need.package}: ${failure}`);
  }
}

/** What the system lacks, or has in an older version only, into the cache. */
async function fetchNewer(): Promise<void> {
  for (const name of UNPACKED) {
    if (unpacked(name) !== undefined) continue;
    const title = unpackedTitle(name);
    console.log(`prepare: fetching ${title}`);
    try {
      await fetchUnpacked(name);
    } catch (error) {
      const why = (error as Error).message;
      console.log(`prepare: no ${title}, tests on it will be skipped: ${why}`);
    }
  }
}

const missing = NEEDS.filter((need) => !present(need.command));
const obstacle = whyNotInstall();
if (missing.length > 0 && obstacle === undefined) await install(missing);

for (const need of missing) {
  if (present(need.command)) continue;
  const why = obstacle ?? `${need.package} could not be installed`;
  console.log(`prepare: no ${need.command}, ${need.tests} will be skipped: ${why}`);
}

await fetchNewer();
