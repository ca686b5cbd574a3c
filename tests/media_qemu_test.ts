/**
 * Drives of QEMU whose medium is opened, exchanged, protected or missing, before each way to a disk: no answer is about
 * a medium that its asker did not mean.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { ScsiDisk } from "../classes/scsi/disk.ts";
import { type Kernel, RequestError } from "../mod.ts";
import { NbdServer, nbdUri } from "../nbd/mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern, qemuTest } from "./support/machine.ts";
import { nbdsh } from "./support/nbd.ts";
import { withoutPrograms } from "./support/needs.ts";
import { program, run, Running } from "./support/program.ts";
import { differsAt, openQemuKernel, qmpOf } from "./support/qemu.ts";

const MIB = 2 ** 20;
const DRIVES = { "CD-ROM": "scsi-cd", "removable disk": "scsi-hd,removable=on" } as const;

/** Files as media, which go with the test. */
class Shelf implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "virtio-media-" });

  /** A medium, as QEMU has it, of so many bytes. */
  medium(name: string, bytes: Uint8Array, readOnly = true): readonly string[] {
    const filename = `${this.path}/${name}`;
    Deno.writeFileSync(filename, bytes);
    return [
      "-blockdev",
      `driver=file,filename=${filename},node-name=${name}${readOnly ? ",read-only=on" : ""}`,
    ];
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** A drive, with a medium if one is named. */
function drive(kind: string, medium?: string): readonly string[] {
  const filled = medium === undefined ? "" : `,drive=${medium}`;
  return ["-device", "virtio-scsi-pci,id=scsi", "-device", `${kind},bus=scsi.0,id=drive${filled}`];
}

/** What QEMU is told. */
interface QmpCommand {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** What QEMU is told so that another medium is in the drive; none if none is named. */
function exchange(medium?: string): readonly QmpCommand[] {
  const id = "drive";
  return [
    { execute: "blockdev-open-tray", arguments: { id, force: true } },
    { execute: "blockdev-remove-medium", arguments: { id } },
    ...medium === undefined ? [] : [
      { execute: "blockdev-insert-medium", arguments: { id, "node-name": medium } },
      { execute: "blockdev-close-tray", arguments: { id } },
    ],
  ];
}

function insert(kernel: Kernel, medium?: string): void {
  for (const { execute, arguments: args } of exchange(medium)) qmpOf(kernel).execute(execute, args);
}

/** How many of these reads ended as an error; the others must be of this medium. */
async function failures(reads: readonly Promise<Uint8Array>[], medium: number): Promise<number> {
  let failed = 0;
  for (const end of await Promise.allSettled(reads)) {
    if (end.status === "fulfilled") assertEquals(end.value[0], medium);
    else if (end.reason instanceof RequestError) failed++;
    else throw end.reason;
  }
  return failed;
}

for (const [name, kind] of Object.entries(DRIVES)) {
  qemuTest(
    `media: a ${name} that is exchanged, opened and filled again is never taken for another ` +
      "#scsi:medium #scsi:drive",
    async () => {
      using shelf = new Shelf();
      const [a, b] = [new Uint8Array(MIB).fill(0xaa), new Uint8Array(3 * MIB).fill(0xbb)];
      const media = [...shelf.medium("a", a), ...shelf.medium("b", b)];
      const args = [...media, ...drive(kind, "a")];
      await using kernel = await openQemuKernel(args, { isolation: "inline" });
      const { client } = await kernel.attachFirst("scsi");
      const address = { target: 0, lun: 0 };
      const disk: ScsiDisk = await client.disk(address);
      const first = disk.medium;
      assert(first > 0);
      assertEquals(differsAt(await disk.read(0, MIB), a), -1);

      // Exchanged, while nothing and while much is asked for: all of it ends, none as the new one's.
      insert(kernel, "b");
      const reads = Array.from({ length: 64 }, (_, i) => disk.read(i * 2048, 2048));
      assertEquals(await failures(reads, 0xaa), 64);
      assertEquals([disk.capacity, disk.exchanged], [3 * MIB, true]);
      await assertRejects(() => disk.read(0, 2048), RequestError, "exchanged or taken out");
      await assertRejects(() => disk.readInto(2 * MIB, new Uint8Array(2048)), RequestError);
      await disk.refresh();
      assert(disk.medium > first);
      assertEquals(differsAt(await disk.read(2 * MIB, MIB), b.subarray(2 * MIB)), -1);

      // Opened.
      insert(kernel);
      await assertRejects(() => disk.read(0, 2048), RequestError, "medium not present");
      await disk.refresh();
      assertEquals([disk.medium, disk.capacity, disk.exchanged], [0, 0, false]);
      for (
        const work of [
          () => disk.read(0, 2048),
          () => disk.write(0, new Uint8Array(2048)),
          () => disk.discard(0, 2048),
          () => disk.writeZeroes(0, 2048),
        ]
      ) await assertRejects(work, RequestError, "there is no medium in it");
      await disk.flush(); // there is nothing to flush
      assertEquals((await client.scan()).length, 1);

      // Filled again: the user who opened it empty did not mean that one.
      qmpOf(kernel).execute("blockdev-insert-medium", { id: "drive", "node-name": "a" });
      qmpOf(kernel).execute("blockdev-close-tray", { id: "drive" });
      await assertRejects(() => disk.read(0, 2048), RequestError, "there is no medium in it");
      const anew = await client.disk(address);
      await anew.refresh();
      assertEquals(differsAt(await anew.read(0, MIB), a), -1);
    },
  );
}

qemuTest(
  "media: a removable disk is written until another one is in it #scsi:medium #scsi:drive",
  async () => {
    using shelf = new Shelf();
    const [a, b] = [new Uint8Array(MIB), new Uint8Array(2 * MIB).fill(0xbb)];
    const media = [...shelf.medium("a", a, false), ...shelf.medium("b", b, false)];
    const args = [...media, ...drive("scsi-hd,removable=on", "a")];
    await using kernel = await openQemuKernel(args, { isolation: "inline" });
    const disk = await (await kernel.attachFirst("scsi")).client.disk({ target: 0, lun: 0 });
    const bytes = pattern(4096, 1);
    assertEquals(disk.readOnly, false);
    await disk.write(0, bytes);
    await disk.flush();
    await disk.write(4096, bytes);
    insert(kernel, "b");
    await assertRejects(() => disk.write(8192, bytes), RequestError);
    // What was not flushed cannot be any more.
    await assertRejects(() => disk.flush(), RequestError, "exchanged or taken out");
    await disk.refresh();
    assertEquals(disk.capacity, 2 * MIB);
    assertEquals(differsAt(await disk.read(0, 2 * MIB), b), -1);
    await disk.write(MIB, bytes);
    await disk.flush();
    b.set(bytes, MIB);
    a.set(bytes);
    const [first, second] = ["a", "b"].map((name) => Deno.readFileSync(`${shelf.path}/${name}`));
    assertEquals(differsAt(second!, b), -1);
    assertEquals(differsAt(first!.subarray(0, 4096), a.subarray(0, 4096)), -1);
  },
);

qemuTest("media: NBD clients get errors until they connect again #nbd:medium", async () => {
  if (withoutPrograms("nbdsh") !== undefined) return console.log("skipped: there is no nbdsh");
  using shelf = new Shelf();
  const media = [
    ...shelf.medium("a", new Uint8Array(MIB).fill(0xaa)),
    ...shelf.medium("b", new Uint8Array(3 * MIB).fill(0xbb)),
  ];
  const args = [...media, ...drive("scsi-cd", "a")];
  await using kernel = await openQemuKernel(args, { isolation: "inline" });
  const disk = await (await kernel.attachFirst("scsi")).client.disk({ target: 0, lun: 0 });
  const socket = `${shelf.path}/socket`;
  using _server = new NbdServer(disk, { socket, loop: kernel.loop });
  const seen = nbdsh(
    nbdUri("", socket),
    `
import os, time
h.connect_uri(uri)
def look(h):
    return [h.get_size(), tried(h.pread, 2048, 0), tried(h.pread, 2048, 512 * 1024), tried(h.trim, 2048, 0)]
steps = [look(h)]
def wait(name):
    open("${shelf.path}/" + name + ".seen", "w").close()
    end = time.time() + 30
    while not os.path.exists("${shelf.path}/" + name + ".done"):
        assert time.time() < end
        time.sleep(0.02)
for name in ("exchanged", "opened", "filled"):
    wait(name)
    steps.append(look(h))
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.connect_uri(uri)
    size = h.get_size()
    steps.append([size, bytes(h.pread(2048, size - 2048))[0] if size > 0 else None])
print(json.dumps(steps))
`,
  );
  for (const [name, medium] of [["exchanged", "b"], ["opened"], ["filled", "a"]] as const) {
    assert(await soon(() => exists(`${shelf.path}/${name}.seen`)), name);
    if (name !== "filled") insert(kernel, medium);
    else {
      const id = "drive";
      qmpOf(kernel).execute("blockdev-insert-medium", { id, "node-name": "a" });
      qmpOf(kernel).execute("blockdev-close-tray", { id });
    }
    Deno.writeTextFileSync(`${shelf.path}/${name}.done`, "");
  }
  const [first, ...others] = await seen as [unknown[]];
  assertEquals(first, [MIB, "ok", "ok", "EPERM"]);
  assertEquals(others, [
    [MIB, "EIO", "EIO", "EIO"],
    [3 * MIB, 0xbb],
    [3 * MIB, "EIO", "EIO", "EIO"],
    [0, null],
    [0, "EINVAL", "EINVAL", "EPERM"],
    [MIB, 0xaa],
  ]);
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Commands before an empty drive: exit status, and what they say. */
const EMPTY = [
  ["blk info", 0, /capacity +0 .*\n[^]*medium +no/],
  ["blk read", 1, /there is no medium in it/],
  ["blk copy disk /dev/null", 1, /there is no medium in it/],
  ["blk bench --runtime 1", 1, /there is no medium in it/],
  ["blk discard --offset 0 --length 0", 1, /there is no medium in it/],
  ["scsi list", 0, /no medium/],
  ["scsi inquiry", 0, /removable +yes/],
  ["scsi raw 000000000000", 1, /medium not present/],
  ["check", 0, /without a medium/],
] as const;

qemuTest("media: each command before an empty drive #cli:drive #scsi:drive", async () => {
  for (const [line, exit, says] of EMPTY) {
    const words = [...line.split(" "), "--machine", "qemu", "--", ...drive("scsi-cd")];
    const { code, text, err } = await run(...program(...words));
    assertEquals(code, exit, `${line}: ${err}${text}`);
    assertMatch(text + err, says);
  }
  using shelf = new Shelf();
  const file = `${shelf.path}/file`;
  Deno.writeFileSync(file, new Uint8Array(512));
  const words = ["blk", "write", file, "--machine", "qemu", "--", ...drive("scsi-cd")];
  const { code, err } = await run(...program(...words));
  assertEquals(code, 1, err);
});

/** Tells a QEMU something by its control socket. */
async function control(
  path: string,
  commands: readonly QmpCommand[],
): Promise<void> {
  using connection = await Deno.connect({ transport: "unix", path });
  const lines = connection.readable.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const next = async () => {
    while (!text.includes("\n")) {
      const { value, done } = await lines.read();
      assert(!done, "QEMU is gone");
      text += value;
    }
    const end = text.indexOf("\n");
    const line = JSON.parse(text.slice(0, end));
    text = text.slice(end + 1);
    return line;
  };
  await next();
  for (const command of [{ execute: "qmp_capabilities" }, ...commands]) {
    await connection.write(new TextEncoder().encode(JSON.stringify(command)));
    let answer = await next();
    while ("event" in answer) answer = await next();
    assert("return" in answer, JSON.stringify(answer));
  }
}

/** Copies a disk that is slow, and does something to QEMU when a part of it is copied. */
async function copySlowly(
  shelf: Shelf,
  args: readonly string[],
  commands: readonly QmpCommand[],
): Promise<{ readonly code: number; readonly err: string }> {
  const [socket, out] = [`${shelf.path}/qmp`, `${shelf.path}/out`];
  await using copying = new Running(program(
    ...["blk", "copy", "disk", out, "--machine", "qemu", "--"],
    ...["-object", `throttle-group,id=slow,x-bps-total=${2 * MIB}`],
    ...args,
    ...["-chardev", `socket,id=qmp,path=${socket},server=on,wait=off`],
    ...["-mon", "chardev=qmp,mode=control"],
  ));
  const some = () => exists(out) && Deno.statSync(out).size > 0;
  assert(await soon(some), "nothing is copied");
  await control(socket, commands);
  return await copying.ended();
}

qemuTest(
  "media: a copy of a disk that is exchanged or resized meanwhile is none #cli:drive",
  async () => {
    using shelf = new Shelf();
    const slow = (node: string) => [
      "-blockdev",
      `driver=throttle,throttle-group=slow,file=${node},node-name=slow-${node}`,
    ];
    const bytes = new Uint8Array(12 * MIB).fill(1);
    const media = [...shelf.medium("a", bytes), ...slow("a"), ...shelf.medium("b", bytes)];
    const exchanged = await copySlowly(
      shelf,
      [...media, ...drive("scsi-cd", "slow-a")],
      exchange("b"),
    );
    assertEquals(exchanged.code, 1, exchanged.err);
    assertMatch(exchanged.err, /exchanged or taken out|medium not present/);
    Deno.removeSync(`${shelf.path}/out`);
    const grown = await copySlowly(
      shelf,
      [...shelf.medium("c", bytes, false), ...slow("c"), "-device", "virtio-blk-pci,drive=slow-c"],
      [{ execute: "block_resize", arguments: { "node-name": "slow-c", size: 16 * MIB } }],
    );
    assertEquals(grown.code, 1, grown.err);
    assertStringIncludes(grown.err, `had ${12 * MIB} bytes when it was begun, and has ${16 * MIB}`);
  },
);
