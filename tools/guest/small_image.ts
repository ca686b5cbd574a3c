/**
 * A small Linux guest: Debian's kernel, its own VirtIO and NVMe drivers, and a shell on the serial line. Nothing of this
 * project is in it; what its kernel does with a device is what other people's kernels do. Built once for each version,
 * and kept outside the tree.
 *
 * @module
 */

import { kept } from "../cache.ts";
import {
  freshLists,
  type Lists,
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

/**
 * The image, built if it is not there yet.
 *
 * @throws {Unavailable} If it cannot be had here, with the reason.
 */
export async function openSmallImage(): Promise<SmallImage> {
  if (Deno.build.target !== "x86_64-unknown-linux-gnu") {
    throw new Unavailable(`the guest is for x86_64-unknown-linux-gnu, not ${Deno.build.target}`);
  }
  try {
    return await imageOf(SYSTEM_LISTS);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    const folder = await Deno.makeTempDir({ prefix: "virtio-lists-" });
    try {
      return await imageOf(await freshLists(folder));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

async function imageOf(lists: Lists): Promise<SmallImage> {
  const kernel = await resolve(lists, KERNEL);
  const release = kernel.name.replace("linux-image-", "");
  const folder = await kept(
    `small-guest-${await key(kernel.version)}`,
    (folder) => build(lists, kernel.name, release, folder),
  );
  return { kernel: `${folder}/vmlinuz`, initrd: `${folder}/initrd.cpio`, release };
}

async function build(lists: Lists, kernel: string, release: string, into: string): Promise<void> {
  const root = `${into}/root`;
  await Deno.mkdir(root);
  await unpack(lists, [kernel, "busybox-static"], root);
  await run(`${root}/bin/busybox`, ["depmod", "-b", root, release]);
  await Deno.rename(`${root}/boot/vmlinuz-${release}`, `${into}/vmlinuz`);
  await Deno.writeFile(
    `${into}/initrd.cpio`,
    ReadableStream.from(cpio(entries(root, `lib/modules/${release}`))),
  );
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
