/**
 * The block driver on QEMU's disk: what each feature does to the file behind it.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { BlockClient } from "../classes/block/client.ts";
import { type Kernel, type OpenOptions, RequestError } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { eachQemuTest, pattern, qemuTest } from "./support/machine.ts";
import { agrees, differsAt, FileDisk, openQemuKernel, qmpOf, useDisk } from "./support/qemu.ts";

const CAPACITY = 4 << 20;
const ISOLATIONS = ["process", "inline"] as const;
const FORMS = {
  modern: { options: ",disable-legacy=on", legacy: false },
  packed: { options: ",disable-legacy=on,packed=on", legacy: false },
  transitional: { options: ",disable-legacy=off,disable-modern=off", legacy: true },
} as const;

interface Bench {
  readonly kernel: Kernel;
  readonly blk: Device<"block">;
  readonly client: BlockClient;
  readonly file: FileDisk;
}

/** Does something with a disk on a file that gives storage back when it is told to. */
async function withDisk(
  options: string,
  use: (bench: Bench) => Promise<void>,
  open: OpenOptions = { isolation: "inline" },
): Promise<void> {
  using file = new FileDisk("disk", CAPACITY, options);
  const [blockdev, backend, ...rest] = file.arguments;
  await using kernel = await openQemuKernel(
    [blockdev!, `${backend},discard=unmap,detect-zeroes=off`, ...rest],
    open,
  );
  const blk = await kernel.attachFirst("block");
  await use({ kernel, blk, client: blk.client, file });
}

/** Bytes that the file takes on the disk of this machine. */
function allocated(file: string): number {
  return Deno.statSync(file).blocks! * 512;
}

for (const [name, { options, legacy }] of Object.entries(FORMS)) {
  for (const isolation of ISOLATIONS) {
    eachQemuTest(
      `blk: reads, writes, flushes, discards and zeroes (${name}, ${isolation}) #blk:IN #blk:OUT #blk:FLUSH #blk:DISCARD #blk:WRITE_ZEROES`,
      async () => {
        await withDisk(options, async ({ kernel, blk, client, file }) => {
          await useDisk(client, file.wanted);
          assertEquals(file.differsAt(), -1);
          assert(client.canDiscard && client.canWriteZeroes);
          await client.write(1 << 20, pattern(2 << 20, 1));
          const before = allocated(file.file);
          await client.discard(1 << 20, 1 << 20);
          await client.flush();
          assert(before - allocated(file.file) >= 1 << 20, "the discard freed nothing");
          const left = await client.read(2 << 20, 1 << 20);
          assertEquals(differsAt(left, pattern(2 << 20, 1).subarray(1 << 20)), -1);
          await client.writeZeroes((2 << 20) + 512, 1024);
          assertEquals(await client.read((2 << 20) + 512, 1024), new Uint8Array(1024));
          await client.writeZeroes(2 << 20, 1 << 20, { unmap: true });
          await client.flush();
          const now = Deno.readFileSync(file.file).subarray(2 << 20, 3 << 20);
          assertEquals(differsAt(now, new Uint8Array(1 << 20)), -1);
          assert(before - allocated(file.file) >= 2 << 20, "unmapping freed nothing");
          const { statistics } = await agrees(kernel, blk, { id: "disk" });
          assertEquals([statistics.discard_ios, statistics.discard_sectors], [1, 2048]);
          assert(statistics.read_ios! > 0 && statistics.write_sectors! > 4096);
        }, { isolation, legacy });
      },
    );
  }
}

qemuTest("blk: identity, with and without an end #blk:GET_ID", async () => {
  for (const serial of ["A1", "12345678901234567890", ""]) {
    await withDisk(serial && `,serial=${serial}`, async ({ client }) => {
      assertEquals(await client.id(), serial);
    });
  }
});

qemuTest(
  "blk: block size, topology and geometry #blk:BLK_SIZE #blk:TOPOLOGY #blk:GEOMETRY #blk:SEG_MAX #blk:capacity",
  async () => {
    const options = ",logical_block_size=4096,physical_block_size=8192,min_io_size=8192," +
      "opt_io_size=65536,discard_granularity=65536,cyls=77,heads=5,secs=16";
    await withDisk(options, async ({ blk, client, file }) => {
      assertEquals(client.capacity, CAPACITY);
      assertEquals(client.topology, {
        blockSize: 4096,
        physicalBlockSize: 8192,
        alignmentOffset: 0,
        minimumTransfer: 8192,
        bestTransfer: 65536,
      });
      assertEquals(client.geometry, { cylinders: 77, heads: 5, sectors: 16 });
      const bytes = pattern(65536, 5);
      await client.write(4096, bytes);
      await client.discard(1 << 20, 1 << 20);
      file.wanted.set(bytes, 4096);
      await client.flush();
      assertEquals(file.differsAt(), -1);
      const { features } = await blk.describe();
      for (const name of ["SEG_MAX", "GEOMETRY", "BLK_SIZE", "TOPOLOGY"]) {
        const found = features.list.find((feature) => feature.name === `VIRTIO_BLK_F_${name}`);
        assert(found?.accepted, name);
      }
    });
  },
);

qemuTest(
  "blk: what the backend does not do is not offered #blk:DISCARD #blk:WRITE_ZEROES",
  async () => {
    await withDisk(",discard=off,write-zeroes=off", async ({ client }) => {
      assertEquals([client.canDiscard, client.canWriteZeroes], [false, false]);
      await assertRejects(() => client.discard(0, 4096), RequestError, "does not support it");
      await assertRejects(() => client.secureErase(0, 4096), RequestError, "does not support it");
      await assertRejects(() => client.lifetime(), RequestError, "does not support it");
    });
  },
);

qemuTest("blk: large discards are cut at the device's limit #blk:max_discard_sectors", async () => {
  const limits = ",max-discard-sectors=128,discard_granularity=4096,max-write-zeroes-sectors=256";
  await withDisk(limits, async ({ blk, client, file }) => {
    await client.write(0, pattern(CAPACITY, 2));
    await client.discard(0, 1 << 20);
    await client.writeZeroes(1 << 20, 1 << 20);
    const { statistics } = await blk.describe();
    assertEquals([statistics.discard_ios, statistics.write_zeroes_ios], [16, 8]);
    const zeroes = Deno.readFileSync(file.file).subarray(0, 2 << 20);
    assertEquals(differsAt(zeroes, new Uint8Array(2 << 20)), -1);
  });
});

for (const isolation of ISOLATIONS) {
  qemuTest(
    `blk: the write cache is switched, and stays so after a restart (${isolation}) #blk:CONFIG_WCE #blk:writeback`,
    async () => {
      await withDisk(",disable-legacy=on", async ({ kernel, blk, client }) => {
        const cached = () => {
          const [info] = (qmpOf(kernel).execute("query-block") as { inserted?: object }[])
            .filter(({ inserted }) => inserted);
          return (info!.inserted as { cache: { writeback: boolean } }).cache.writeback;
        };
        assertEquals([client.writeCache, client.canSwitchCache, cached()], [true, true, true]);
        await client.setWriteCache(false);
        assertEquals(client.writeCache, false);
        assert(await soon(() => !cached()), "QEMU still caches");
        await client.write(0, pattern(4096, 1));
        // As if the driver had hung: all of it is started anew.
        const before = blk.pid;
        if (before !== undefined) {
          Deno.kill(before, "SIGKILL");
          await client.write(4096, pattern(4096, 2));
          assert(blk.pid !== before);
          assert(await soon(() => !client.writeCache && !cached()), "the switch was forgotten");
          await client.flush(); // writes went through: nothing can be lost
        }
        await client.setWriteCache(true);
        assertEquals(client.writeCache, true);
        assert(await soon(cached), "QEMU does not cache");
      }, { isolation });
    },
  );
}

qemuTest(
  "blk: without a switch the feature to flush tells the mode #blk:CONFIG_WCE #blk:FLUSH",
  async () => {
    await withDisk(",config-wce=off", async ({ client }) => {
      assertEquals([client.writeCache, client.canSwitchCache], [true, false]);
      await assertRejects(() => client.setWriteCache(false), RequestError, "does not support it");
    });
    await withDisk(",write-cache=off", async ({ client }) => {
      assertEquals(client.writeCache, false);
      await client.flush();
    });
  },
);

qemuTest(
  "blk: a flush after a driver died says that writes may be lost, once #blk:R4 #blk:R7",
  async () => {
    await withDisk("", async ({ blk, client, file }) => {
      await client.write(0, pattern(4096, 1));
      Deno.kill(blk.pid!, "SIGKILL");
      await client.write(4096, pattern(4096, 2));
      const error = await assertRejects(() => client.flush(), RequestError);
      assert(error.message.includes("may have lost what was written before"), error.message);
      await client.write(0, pattern(4096, 1));
      await client.flush();
      // This device's reset keeps what was written.
      file.wanted.set(pattern(4096, 1), 0);
      file.wanted.set(pattern(4096, 2), 4096);
      assertEquals(file.differsAt(), -1);
    }, { isolation: "process" });
  },
);

qemuTest("blk: a resize is told to applications that listen #blk:resize", async () => {
  await withDisk("", async ({ kernel, client }) => {
    using changes = client.changes();
    qmpOf(kernel).execute("block_resize", { "node-name": "disk", size: 2 * CAPACITY });
    const capacity = 2 * CAPACITY;
    assertEquals((await changes.next()).value, { type: "resized", capacity });
    assertEquals(client.capacity, capacity);
  });
});

qemuTest("blk: a read-only disk takes no change of any kind #blk:RO", async () => {
  using file = new FileDisk("disk", CAPACITY, "");
  const [, backend = "", ...rest] = file.arguments;
  await using kernel = await openQemuKernel(
    ["-blockdev", `${backend},read-only=on`, ...rest],
    { isolation: "inline" },
  );
  const { client } = await kernel.attachFirst("block");
  assert(client.readOnly);
  for (
    const change of [
      () => client.write(0, new Uint8Array(512)),
      () => client.discard(0, 512),
      () => client.writeZeroes(0, 512),
    ]
  ) {
    await assertRejects(change, TypeError, "read-only");
  }
  assertEquals((await client.read(0, 512)).length, 512);
});

qemuTest(
  "blk: a request that takes too long starts the device anew, and ends at last #blk:deadline",
  async () => {
    const second = 1e9;
    await using kernel = await openQemuKernel([
      ...["-blockdev", `driver=null-co,size=${CAPACITY},latency-ns=${1.5 * second},node-name=disk`],
      ...["-device", "virtio-blk-pci,id=disk,drive=disk"],
    ], { requestDeadline: 400, restarts: 1, isolation: "inline" });
    const blk = await kernel.attachFirst("block");
    await assertRejects(() => blk.client.read(0, 512), RequestError, "the driver is gone");
    const reason = await blk.gone;
    assert(reason?.includes("400"), reason);
  },
);

qemuTest("blk: more queues than one are all used #blk:MQ #blk:num_queues", async () => {
  await withDisk(",num-queues=3", async ({ kernel, blk, client, file }) => {
    await useDisk(client, file.wanted);
    const { queues } = await agrees(kernel, blk, { id: "disk" });
    assertEquals(queues.length, 3);
    assert(queues.every(({ completed }) => completed! > 0));
  });
});

qemuTest("blk: an error of the medium is the request's own #blk:IOERR #blk:D-88", async () => {
  using file = new FileDisk("disk", CAPACITY, "");
  const inject = (i: number, error: string) =>
    error.split(",").map((each) => `inject-error.${i}.${each}`).join(",");
  await using kernel = await openQemuKernel([
    "-blockdev",
    `driver=blkdebug,node-name=disk,image.driver=file,image.filename=${file.file},` +
    `${inject(0, "event=none,iotype=flush,errno=5,once=on")},` +
    inject(1, "event=none,iotype=write,sector=8,errno=28"),
    "-device",
    "virtio-blk-pci,id=disk,drive=disk,werror=report",
  ], { isolation: "inline" });
  const blk = await kernel.attachFirst("block");
  await blk.client.write(0, pattern(4096, 1));
  await assertRejects(() => blk.client.flush(), RequestError, "the device reported an error");
  await blk.client.flush();
  await assertRejects(() => blk.client.write(4096, pattern(4096, 1)), RequestError, "reported");
  await blk.client.write(8192, pattern(4096, 1));
  const { statistics, restarts } = await blk.describe();
  assertEquals([statistics.io_errors, restarts], [2, 0]);
});
