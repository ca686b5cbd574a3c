/**
 * Disks of QEMU with blocks of every size, by every way to them: blocks are the unit of all requests, which no way
 * leaves out, and what is longer than a device takes at once is cut where blocks begin.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { BlockDevice } from "../classes/block/protocol.ts";
import type { Kernel } from "../mod.ts";
import { NbdServer, nbdUri } from "../nbd/mod.ts";
import "./support/libc.ts";
import { pattern, qemuTest } from "./support/machine.ts";
import { nbdsh, output } from "./support/nbd.ts";
import { withoutPrograms } from "./support/needs.ts";
import { program, run } from "./support/program.ts";
import { differsAt, openQemuKernel } from "./support/qemu.ts";

const MIB = 2 ** 20, GIB = 2 ** 30;

/** Blocks of disks: as requests have them, and of what holds the data. */
const BLOCKS = {
  "512": { logical: 512, physical: 512 },
  "512e": { logical: 512, physical: 4096 },
  "4096": { logical: 4096, physical: 4096 },
} as const;
const KINDS = ["blk", "scsi", "nvme"] as const;
/** The end of each disk's file: three sectors, so that it is no whole block of 4096 bytes. */
const TAIL = 1536;

interface Blocks {
  readonly logical: number;
  readonly physical: number;
}

/** A sparse file as a disk. */
class Image implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "virtio-blocks-" });
  readonly #kind: typeof KINDS[number];
  readonly #blocks: Blocks;

  constructor(length: number, kind: typeof KINDS[number], blocks: Blocks) {
    Deno.truncateSync(this.path, length);
    this.#kind = kind;
    this.#blocks = blocks;
  }

  get arguments(): string[] {
    const { logical, physical } = this.#blocks;
    const node = `driver=file,filename=${this.path},node-name=node,discard=unmap`;
    const sizes = `drive=node,logical_block_size=${logical},physical_block_size=${physical}`;
    const devices = {
      blk: ["-device", `virtio-blk-pci,${sizes}`],
      scsi: ["-device", "virtio-scsi-pci,id=scsi", "-device", `scsi-hd,bus=scsi.0,${sizes}`],
      nvme: ["-device", `nvme,serial=1,${sizes}`],
    };
    return ["-blockdev", node, ...devices[this.#kind]];
  }

  read(offset: number, length: number): Uint8Array {
    using file = Deno.openSync(this.path);
    file.seekSync(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) at += file.readSync(bytes.subarray(at)) ?? length;
    return bytes;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/** Opens the disk of a kind. */
async function diskOf(kernel: Kernel, kind: typeof KINDS[number]): Promise<BlockDevice> {
  if (kind !== "scsi") return (await kernel.attachFirst("block")).client;
  return await (await kernel.attachFirst("scsi")).client.disk({ target: 0, lun: 0 });
}

/** Does something with a disk on an image. */
async function withDisk(
  image: Image,
  kind: typeof KINDS[number],
  use: (disk: BlockDevice, kernel: Kernel) => Promise<void>,
): Promise<void> {
  await using kernel = await openQemuKernel(image.arguments, { isolation: "inline" });
  await use(await diskOf(kernel, kind), kernel);
}

for (const [name, blocks] of Object.entries(BLOCKS)) {
  for (const kind of KINDS) {
    const { logical, physical } = blocks;

    qemuTest(
      `blocks: ${name} on ${kind}: aligned, odd and last ones, and 4 GiB of zeroes and discards ` +
        "#blk:block_size #blk:zeroes_4g #scsi:block_size #nvme:block_4096",
      async () => {
        const length = 8 * GIB + TAIL;
        const end = length - length % logical;
        using image = new Image(length, kind, blocks);
        await withDisk(image, kind, async (disk) => {
          assertEquals([disk.blockSize, disk.capacity], [logical, end]);
          const one = pattern(logical, 1);
          // Aligned, and the last block.
          for (const offset of [logical, end - logical]) {
            await disk.write(offset, one);
            assertEquals(differsAt(await disk.read(offset, logical), one), -1);
          }
          // Reads may begin and end at any sector; what changes the disk, may not.
          const part = await disk.read(logical + logical / 2 - logical / 2 % 512, 512);
          const from = logical / 2 - logical / 2 % 512;
          assertEquals(differsAt(part, one.slice(from, from + 512)), -1);
          const odd = physical / 8;
          const reason = `not multiples of ${logical}`;
          if (odd % logical !== 0) {
            await assertRejects(() => disk.write(0, new Uint8Array(odd)), RangeError, reason);
            await assertRejects(() => disk.writeZeroes(odd, logical), RangeError, reason);
            await assertRejects(() => disk.discard(0, odd), RangeError, reason);
          }
          await assertRejects(() => disk.write(100, one), RangeError, reason);
          await assertRejects(() => disk.read(100, 512), RangeError, "not multiples of 512");
          // Behind the end.
          await assertRejects(() => disk.read(end, logical), RangeError, `ends at ${end}`);
          await assertRejects(() => disk.write(end, one), RangeError, `ends at ${end}`);
          // Longer than any device takes at once: what stands around it stays.
          const places = [GIB - logical, GIB, 3 * GIB, 5 * GIB - logical, 5 * GIB];
          for (const work of ["writeZeroes", "discard"] as const) {
            for (const place of places) await disk.write(place, one);
            if (work === "discard") await disk.discard(GIB, 4 * GIB);
            else await disk.writeZeroes(GIB, 4 * GIB, { unmap: true });
            await disk.flush();
            const kept = places.map((place) => differsAt(image.read(place, logical), one) === -1);
            assertEquals(kept, [true, false, false, false, true], work);
          }
          // Zeroes that keep their storage, longer than one WRITE SAME of a disk that says nothing of its limits.
          await disk.write(6 * GIB, pattern(MIB, 3));
          await disk.writeZeroes(6 * GIB + logical, 64 * MIB);
          const written = await disk.read(6 * GIB, MIB);
          assertEquals(
            differsAt(written.subarray(0, logical), pattern(MIB, 3).subarray(0, logical)),
            -1,
          );
          assertEquals(differsAt(written.subarray(logical), new Uint8Array(MIB - logical)), -1);
        });
      },
    );

    qemuTest(
      `blocks: ${name} on ${kind}: NBD clients are told, and held to it #nbd:block_size`,
      async () => {
        if (withoutPrograms("nbdsh") !== undefined) {
          return console.log("skipped: there is no nbdsh");
        }
        const length = 8 * GIB + TAIL;
        const end = length - length % logical;
        using image = new Image(length, kind, blocks);
        const folder = Deno.makeTempDirSync({ prefix: "virtio-blocks-" });
        try {
          await withDisk(image, kind, async (disk, kernel) => {
            const socket = `${folder}/socket`;
            using _server = new NbdServer(disk, { socket, loop: kernel.loop });
            const found = await nbdsh(
              nbdUri("", socket),
              `
h.connect_uri(uri)
b, end, big = h.get_block_size(nbd.SIZE_MINIMUM), h.get_size(), 2**32 - 65536
data = bytes([7]) * b
steps = [tried(h.pwrite, data, o) for o in (b, end - b, 2**30 - b, 2**30, 2**30 + big)]
steps += [tried(h.zero, big, 2**30), tried(h.trim, big, 2**30), tried(h.pread, b, end - b)]
odd = [tried(h.pread, 256, 0), tried(h.pwrite, bytes(b), 256), tried(h.zero, b, b // 2), tried(h.trim, b + 1, 0)]
past = [tried(h.pread, b, end), tried(h.pwrite, data, end)]
h.flush()
around = [h.pread(b, o) == data for o in (b, 2**30 - b, 2**30, 2**30 + big)]
print(json.dumps([b, h.get_block_size(nbd.SIZE_PREFERRED), end, steps, odd, past, around]))
`,
            );
            assertEquals(found, [
              logical,
              4096,
              end,
              Array(8).fill("ok"),
              Array(4).fill("EINVAL"),
              ["EINVAL", "ENOSPC"],
              [true, true, false, true],
            ]);
            // A client that does what it is told to, of any size.
            await output(
              "qemu-io",
              ...["-f", "raw", "-c", "write -P 5 1000 5000", "-c", "read -P 5 1000 5000"],
              nbdUri("", socket),
            );
          });
        } finally {
          Deno.removeSync(folder, { recursive: true });
        }
      },
    );

    qemuTest(
      `blocks: ${name} on ${kind}: commands take any bytes where they can keep the rest #cli:bytes`,
      async () => {
        using image = new Image(4 * MIB + TAIL, kind, blocks);
        const end = 4 * MIB + TAIL - TAIL % logical;
        const folder = Deno.makeTempDirSync({ prefix: "virtio-blocks-" });
        const blk = async (...words: readonly string[]) => {
          const line = ["blk", ...words, "--machine", "qemu", "--", ...image.arguments];
          return await run(...program(...line));
        };
        try {
          const bytes = pattern(3 * MIB + 100, 4);
          const wanted = new Uint8Array(end).fill(9);
          Deno.writeFileSync(image.path, wanted);
          Deno.truncateSync(image.path, 4 * MIB + TAIL);
          Deno.writeFileSync(`${folder}/in`, bytes);
          const written = await blk("write", "--offset", "777", `${folder}/in`);
          assertEquals(written.code, 0, written.err);
          wanted.set(bytes, 777);
          assertEquals(differsAt(image.read(0, end), wanted), -1);
          const read = await blk("read", "--offset", "1001", "--length", "5003");
          assertEquals(read.code, 0, read.err);
          assertEquals(differsAt(read.out, wanted.slice(1001, 1001 + 5003)), -1);
          const copied = await blk("copy", "disk", `${folder}/out`);
          assertEquals(copied.code, 0, copied.err);
          assertEquals(differsAt(Deno.readFileSync(`${folder}/out`), wanted), -1);
          // What gives up or zeroes is of blocks, and says so; so are requests of a measurement.
          for (const how of [[], ["--zero"]]) {
            const odd = await blk("discard", "--offset", "0", "--length", "1000", ...how);
            assertEquals(odd.code, 2, odd.err);
            assert(odd.err.includes(`multiples of ${logical}, the size of its blocks`), odd.err);
          }
          if (logical > 512) {
            const bench = await blk("bench", "--bs", "512", "--runtime", "1");
            assertEquals(bench.code, 2, bench.err);
          }
          const zeroed = await blk("discard", "--offset", "8K", "--length", "1M", "--zero");
          assertEquals(zeroed.code, 0, zeroed.err);
          wanted.fill(0, 8192, 8192 + MIB);
          assertEquals(differsAt(image.read(0, end), wanted), -1);
        } finally {
          Deno.removeSync(folder, { recursive: true });
        }
      },
    );
  }
}

qemuTest(
  "blocks: a disk of 0 sectors is one with nothing on it #blk:empty #nbd:empty",
  async () => {
    using image = new Image(0, "blk", BLOCKS[512]);
    await withDisk(image, "blk", async (disk) => {
      assertEquals([disk.capacity, disk.medium], [0, 1]);
      assertEquals((await disk.read(0, 0)).length, 0);
      await assertRejects(() => disk.read(0, 512), RangeError, "ends at 0");
      await disk.flush();
    });
    const lines = [
      ["check", 1, "nothing is on it"],
      ["blk info", 0, "0 bytes"],
      ["blk read", 0, ""],
      [`blk copy disk ${image.path}.copy`, 0, "0 bytes"],
      [`blk write ${image.path}.txt`, 1, "ends at 0"],
      ["blk bench --runtime 1", 1, "0 bytes"],
    ] as const;
    for (const more of ["txt", "copy"]) Deno.writeTextFileSync(`${image.path}.${more}`, "x");
    try {
      for (const [line, exit, says] of lines) {
        const words = [...line.split(" "), "--machine", "qemu", "--", ...image.arguments];
        const { code, text, err } = await run(...program(...words));
        assertEquals(code, exit, `${line}: ${err}`);
        assert((text + err).includes(says), `${line}: ${text}${err}`);
      }
    } finally {
      for (const more of ["txt", "copy"]) Deno.removeSync(`${image.path}.${more}`);
    }
  },
);
