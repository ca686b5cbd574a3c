/**
 * A small Linux guest: Debian's kernel, its own VirtIO and NVMe drivers, and a shell on the serial line. Nothing of this
 * project is in it; what its kernel does with a device is what other people's kernels do. Built once for each version,
 * and kept outside the tree.
 *
 * @module
 */

import { exists, kept } from "../cache.ts";
import {
  freshLists,
  type Lists,
  otherLists,
  resolve,
  run,
  SYSTEM_LISTS,
  Unavailable,
  unpack,
} from "../packages.ts";
import { cpio, type Entry, file, folder, program } from "./cpio.ts";
import { closure, dependencies } from "./modules.ts";

/** A kernel and its first file system. */
export interface SmallImage {
  /** Path of the kernel. */
  readonly kernel: string;
  /** Path of the archive. */
  readonly initrd: string;
  /** Which kernel it is, for example `"6.1.0-56-cloud-amd64"`. */
  readonly release: string;
}

/** Where a newer kernel than the system's is from: Linux 6.12. */
const NEWER_SUITE = "trixie";
/** The kernel for virtual machines has NVMe, ext4 and hot-plug built in. */
const KERNEL = "linux-image-cloud-amd64";
const MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_net",
  "virtio_rng",
  "virtio_console",
  "virtio_balloon",
  "virtio_scsi",
  "sd_mod",
  "af_packet",
];
const BUILDER = ["cpio.ts", "modules.ts", "small_image.ts", "../packages.ts"];

/**
 * The first process: says that it is there, then runs each line that comes, and says how it ended. Whatever stops a
 * line for good stops the guest: the host has the deadlines.
 */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin /dev /proc /sys /tmp /mnt
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
stty -F /dev/console -echo
for module in $modules; do modprobe "$module"; done
echo "@@READY"
while IFS= read -r line; do
  sh -c "$line" </dev/null 2>&1
  echo "@@RC=$?"
done
`;

let small: Promise<SmallImage> | undefined;

/**
 * The image with the kernel of the system's own suite, built if it is not there yet. Which one it is stays as long as the
 * program runs: to ask costs a second.
 *
 * @throws {Unavailable} If it cannot be had here, with the reason.
 */
export function openSmallImage(): Promise<SmallImage> {
  return small ??= ofSystem();
}

async function ofSystem(): Promise<SmallImage> {
  refuseOthers();
  try {
    return await imageOf(SYSTEM_LISTS);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return await withFolder(async (folder) => imageOf(await freshLists(folder)));
  }
}

/**
 * Likewise that with the kernel of a newer Debian. Which one it is stays until its folder is removed from the cache.
 *
 * @throws {Unavailable} If it cannot be had here, with the reason.
 */
export async function openNewerImage(): Promise<SmallImage> {
  refuseOthers();
  return imageIn(
    await kept(
      `small-guest-${NEWER_SUITE}-${await key(NEWER_SUITE)}`,
      (into) =>
        withFolder(async (folder) => {
          const lists = await otherLists(folder, [NEWER_SUITE]);
          await build(lists, (await resolve(lists, KERNEL)).name, into);
        }),
    ),
  );
}

function refuseOthers(): void {
  if (Deno.build.target !== "x86_64-unknown-linux-gnu") {
    throw new Unavailable(`the guest is for x86_64-unknown-linux-gnu, not ${Deno.build.target}`);
  }
}

async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "virtio-lists-" });
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function imageOf(lists: Lists): Promise<SmallImage> {
  const kernel = await resolve(lists, KERNEL);
  return imageIn(
    await kept(
      `small-guest-${await key(kernel.version)}`,
      (into) => build(lists, kernel.name, into),
    ),
  );
}

function imageIn(folder: string): SmallImage {
  const release = Deno.readTextFileSync(`${folder}/release`);
  return { kernel: `${folder}/vmlinuz`, initrd: `${folder}/initrd.cpio`, release };
}

async function build(lists: Lists, kernel: string, into: string): Promise<void> {
  const root = `${into}/root`;
  const release = kernel.replace("linux-image-", "");
  await Deno.mkdir(root);
  await unpack(lists, [kernel, "busybox-static"], root);
  // Debian 13 has all of it below /usr, and its modules compressed.
  for (const name of ["bin", "lib"]) {
    if (!exists(`${root}/${name}`)) await Deno.symlink(`usr/${name}`, `${root}/${name}`);
  }
  const busybox = `${root}/bin/busybox`;
  const modules = `${root}/lib/modules/${release}/`;
  await run(busybox, ["find", modules, "-name", "*.ko.xz", "-exec", busybox, "unxz", "{}", "+"]);
  await run(busybox, ["depmod", "-b", root, release]);
  await Deno.rename(`${root}/boot/vmlinuz-${release}`, `${into}/vmlinuz`);
  await Deno.writeFile(
    `${into}/initrd.cpio`,
    ReadableStream.from(cpio(entries(root, `lib/modules/${release}`))),
  );
  await Deno.writeTextFile(`${into}/release`, release);
  await Deno.remove(root, { recursive: true });
}

function* entries(root: string, modules: string): Generator<Entry> {
  yield* ["dev", "proc", "sys", "tmp", "mnt"].map(folder);
  yield program("init", new TextEncoder().encode(INIT));
  yield program("bin/busybox", Deno.readFileSync(`${root}/bin/busybox`));
  const all = dependencies(Deno.readTextFileSync(`${root}/${modules}/modules.dep`));
  const built = Deno.readTextFileSync(`${root}/${modules}/modules.builtin`);
  const chosen = closure(
    MODULES.filter((name) => !new RegExp(`/${name}\\.ko$`, "m").test(built)),
    all,
  );
  for (const path of chosen) {
    yield file(`${modules}/${path}`, Deno.readFileSync(`${root}/${modules}/${path}`));
  }
  const lines = [...all.values()].filter(([path]) => chosen.has(path!))
    .map(([path, ...needs]) => `${path}: ${needs.join(" ")}\n`);
  yield file(`${modules}/modules.dep`, new TextEncoder().encode(lines.join("")));
}

/** Differs whenever the image would. */
async function key(kernel: string): Promise<string> {
  const texts = BUILDER.map((name) => Deno.readTextFileSync(new URL(name, import.meta.url)));
  const bytes = new TextEncoder().encode([kernel, ...texts].join("\0"));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex().slice(0, 16);
}
