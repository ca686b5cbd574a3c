/**
 * QEMU's storage daemons as disks, by vhost-user: each version, each kind of image, several queues.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { openKernel } from "../mod.ts";
import {
  type DaemonProgram,
  DAEMONS,
  Folder,
  StorageDaemon,
  withoutDaemon,
} from "./support/back_ends.ts";
import { leftovers } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith, withoutPrograms } from "./support/needs.ts";
import { program, run } from "./support/program.ts";
import { useDisk } from "./support/qemu.ts";

const BYTES = 1 << 24;
const QUEUES = 4;

/** Images by name: how the daemon is told of one, and what is in its file that is no image of a disk. */
const IMAGES: Readonly<Record<string, { readonly driver: string; readonly format?: string }>> = {
  raw: { driver: "driver=file,filename=FILE", format: "raw" },
  qcow2: { driver: "driver=qcow2,file.driver=file,file.filename=FILE", format: "qcow2" },
  "null-co": { driver: `driver=null-co,size=${BYTES},read-zeroes=on` },
};

async function useImage(
  { program }: DaemonProgram,
  { driver, format }: typeof IMAGES[string],
  queues: number,
): Promise<void> {
  using folder = new Folder();
  const [file, socket] = [folder.of("image"), folder.of("socket")];
  if (format) {
    const { code, err } = await run("qemu-img", "create", "-q", "-f", format, file, `${BYTES}`);
    assertEquals(code, 0, err);
  }
  const disk = driver.replace("FILE", file);
  const wanted = new Uint8Array(BYTES);
  {
    await using _daemon = await StorageDaemon.start({ program, socket, disk, queues });
    const left = await leftovers(async () => {
      await using kernel = await openKernel({
        machine: "vhost-user",
        vhostUser: [{ kind: "blk", socket }],
      });
      const device = await kernel.attachFirst("block");
      const { client } = device;
      assertEquals(client.capacity, BYTES);
      if (format) await useDisk(client, wanted);
      else assertEquals(await client.read(4096, 65536), new Uint8Array(65536));
      const { queues: found } = await device.describe();
      assertEquals(found.length, queues);
      assert(found.every(({ completed = 0 }) => completed > 0), JSON.stringify(found));
    });
    assertEquals(left, []);
  }
  if (!format) return;
  // What stands in the image, read without this project.
  const plain = folder.of("plain");
  const { code, err } = await run("qemu-img", "convert", "-f", format, "-O", "raw", file, plain);
  assertEquals(code, 0, err);
  assert(Deno.readFileSync(plain).every((byte, i) => byte === wanted[i]));
}

/** Nothing is read from the one without an image at once, so one queue is all that is used of it. */
function queuesOf(image: string): number {
  return image === "null-co" ? 1 : QUEUES;
}

for (const daemon of DAEMONS) {
  for (const [name, image] of Object.entries(IMAGES)) {
    testWith(
      withoutDaemon ?? (image.format ? withoutPrograms("qemu-img") : undefined),
      `vhost-user: a disk of qemu-storage-daemon ${daemon.version}, ${name} with ${
        queuesOf(name)
      } queues #core:vhost_user_daemons`,
      () => useImage(daemon, image, queuesOf(name)),
    );
  }
}

testWith(
  withoutDaemon,
  "vhost-user: conform finds in qemu-storage-daemon what docs/findings.md says; check and blk info work #core:vhost_user_daemons",
  async () => {
    using folder = new Folder();
    const [socket, disk] = [folder.of("socket"), folder.of("disk")];
    Deno.writeFileSync(disk, new Uint8Array(BYTES));
    await using _daemon = await StorageDaemon.start({ socket, disk });
    const machine = ["--machine", "vhost-user", "--", `blk=${socket}`];
    const cases: readonly (readonly [only: string, wrong: readonly string[]])[] = [
      ["rings.mixed", ["rings.mixed"]],
      ["interrupts.quiet", ["interrupts.quiet"]],
      ["block", []],
    ];
    for (const [only, wanted] of cases) {
      const { text } = await run(
        ...program("conform", "device", "00:01.0", "--only", only, ...machine),
      );
      const wrong = [...text.matchAll(/(?:violates|wedged|cannot tell): (\S+) \(/g)];
      assertEquals(wrong.map(([, name]) => name!), wanted, text);
    }
    for (
      const [command, wanted] of [["check", "passed"], ["blk info", "vhost_user_blk"]] as const
    ) {
      const { code, text, err } = await run(...program(...command.split(" "), ...machine));
      assertEquals(code, 0, err);
      assert(text.includes(wanted), text);
    }
  },
);
