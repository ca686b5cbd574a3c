/**
 * The part of the guest that is the same for all runs: a Linux kernel of Debian's, and a first file system with Deno,
 * busybox, the C library and some kernel modules. It is built once for each version, and kept outside the tree.
 *
 * @module
 */

import { kept } from "../cache.ts";
import { cpio, type Entry, file, folder, link, program } from "./cpio.ts";
import { closure, dependencies } from "./modules.ts";
import {
  freshLists,
  type Lists,
  resolve,
  run,
  SYSTEM_LISTS,
  Unavailable,
  unpack,
} from "../packages.ts";

/** A kernel and the begin of its first file system. */
export interface Image {
  /** Path of the kernel. */
  readonly kernel: string;
  /** Path of an archive; another one may be put behind it. */
  readonly base: string;
}

/** The kernel for virtual machines: it needs no time to unpack itself, and has all of VFIO but no-IOMMU groups. */
const KERNEL = "linux-image-cloud-amd64";
/** What jobs may load, with what that needs. The virtio drivers take devices away from VFIO: for tests of `bind`. */
const MODULES = [
  "vfio-pci",
  "vfio_iommu_type1",
  "uio_pci_generic",
  "virtio_pci",
  "virtio_blk",
  "virtio_net",
];
/** What Deno is linked with. */
const LIBRARIES = [
  "ld-linux-x86-64.so.2",
  "libc.so.6",
  "libdl.so.2",
  "libgcc_s.so.1",
  "libm.so.6",
  "libpthread.so.0",
  "librt.so.1",
];
const LIBRARY_FOLDER = "lib/x86_64-linux-gnu";
const BUILDER = ["cpio.ts", "image.ts", "modules.ts", "../packages.ts"];

/**
 * The image, built if it is not there yet.
 *
 * @throws {Unavailable} If it cannot be had here, with the reason.
 */
export async function openImage(): Promise<Image> {
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

async function imageOf(lists: Lists): Promise<Image> {
  const kernel = await resolve(lists, KERNEL);
  const folder = await kept(
    `guest-${await key(kernel.version)}`,
    (folder) => build(lists, kernel.name, folder),
  );
  return { kernel: `${folder}/vmlinuz`, base: `${folder}/base.cpio` };
}

async function build(lists: Lists, kernel: string, into: string): Promise<void> {
  const root = `${into}/root`;
  await Deno.mkdir(root);
  await unpack(lists, [kernel, "busybox-static", "libc6", "libgcc-s1"], root);
  const release = kernel.replace("linux-image-", "");
  await run(`${root}/bin/busybox`, ["depmod", "-b", root, release]);
  await Deno.rename(`${root}/boot/vmlinuz-${release}`, `${into}/vmlinuz`);
  const chunks = ReadableStream.from(cpio(baseEntries(root, release)));
  await Deno.writeFile(`${into}/base.cpio`, chunks);
  await Deno.remove(root, { recursive: true });
}

function* baseEntries(root: string, release: string): Generator<Entry> {
  yield* ["dev", "proc", "sys", "tmp", "mnt"].map(folder);
  yield program("bin/busybox", Deno.readFileSync(`${root}/bin/busybox`));
  yield program("bin/deno", Deno.readFileSync(Deno.execPath()));
  for (const name of LIBRARIES) {
    const path = `${LIBRARY_FOLDER}/${name}`;
    yield program(path, Deno.readFileSync(`${root}/${path}`));
  }
  yield link(`lib64/${LIBRARIES[0]}`, `/${LIBRARY_FOLDER}/${LIBRARIES[0]}`);
  const modules = `lib/modules/${release}`;
  const all = dependencies(Deno.readTextFileSync(`${root}/${modules}/modules.dep`));
  const chosen = closure(MODULES, all);
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
  const bytes = new TextEncoder().encode([kernel, Deno.version.deno, ...texts].join("\0"));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex().slice(0, 16);
}
