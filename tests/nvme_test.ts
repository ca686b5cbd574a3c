/**
 * The NVMe driver on simulated controllers: what QEMU's cannot do, and controllers that lie.
 *
 * @module
 */

import type { BlockClient } from "../classes/block/mod.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Completion, NvmeModel, type NvmeOptions } from "@virtio/nvme/model";
import * as wire from "../plugins/nvme/wire.ts";
import type { Device } from "../classes.ts";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel, type OpenOptions, RequestError } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";

const MIB = 2 ** 20;
const ISOLATIONS: readonly Isolation[] = ["process", "inline"];

interface Bench {
  readonly model: NvmeModel;
  readonly disk: Device<"block">;
  readonly client: BlockClient;
  readonly notices: string[];
}

/** Drives a simulated controller. */
async function withController(
  options: Partial<NvmeOptions>,
  use: (bench: Bench) => Promise<void>,
  open: OpenOptions = {},
): Promise<void> {
  const notices: string[] = [];
  const model = new NvmeModel({ namespaces: { 1: { capacity: 4 * MIB } }, ...options });
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
    notice: (line) => notices.push(line),
    ...open,
  });
  const disk = await kernel.attachFirst("block");
  await use({ model, disk, client: disk.client, notices });
}

/** Writes and reads stretches of many lengths, and compares with what stands in the namespace. */
async function exercise({ model, client }: Bench, nsid = 1): Promise<void> {
  const { blockSize: unit } = client;
  const lengths = [unit, 4096, 4096 + unit, 8192, 8192 + unit, 65536, 65536 + unit, 300 * unit];
  let at = unit;
  for (const [seed, length] of lengths.entries()) {
    const bytes = pattern(length, seed);
    await client.write(at, bytes);
    assertEquals(model.contents(nsid, at, length), bytes);
    assertEquals(await client.read(at, length), bytes);
    at += length + unit;
  }
  await client.flush();
  const bytes = pattern(8 * unit, 50);
  await client.write(0, bytes);
  await client.discard(unit, unit);
  await client.writeZeroes(3 * unit, 2 * unit, { unmap: true });
  for (const block of [1, 3, 4]) bytes.fill(0, block * unit, (block + 1) * unit);
  assertEquals(await client.read(0, 8 * unit), bytes);
}

/** Controllers that are all right. */
const HONEST: Readonly<Record<string, Partial<NvmeOptions>>> = {
  "as usual": {},
  "without shadow doorbells": { shadow: false },
  "doorbells 32 bytes apart": { stride: 3 },
  "doorbells 32 bytes apart, without shadows": { stride: 3, shadow: false },
  "queues of 4 entries": { entries: 4 },
  "queues of 2 entries": { entries: 2 },
  "commands of at most 8192 bytes": { mdts: 1 },
  "no write cache": { writeCache: false },
  "blocks of 4096 bytes": { namespaces: { 1: { capacity: 4 * MIB, blockSize: 4096 } } },
};

for (const isolation of ISOLATIONS) {
  for (const [name, options] of Object.entries(HONEST)) {
    Deno.test(`nvme: reads, writes, discards and zeroes (${name}, ${isolation}) #nvme:READ #nvme:WRITE #nvme:PRP`, async () => {
      await withController(options, exercise, { isolation });
    });
  }

  for (const interrupts of ["shared", "intx", "polling"] as const) {
    Deno.test(`nvme: interrupts ${interrupts} (${isolation}) #nvme:interrupts`, async () => {
      await withController({}, exercise, { isolation, interrupts });
    });
  }

  Deno.test(`nvme: several I/O queues (${isolation}) #nvme:queues`, async () => {
    const tunables = { "nvme.num_io_queues": 8 };
    for (const options of [{}, { ioQueues: 3 }, { vectors: 2 }, { stride: 7 }]) {
      await withController(options, async (bench) => {
        await exercise(bench);
        const wanted = { ioQueues: 3, stride: 3 };
        const count = "ioQueues" in options || "stride" in options ? wanted.ioQueues : 8;
        assertEquals(bench.model.counts[256 + wire.CREATE_SQ], count);
      }, { isolation, tunables });
    }
  });

  Deno.test(`nvme: the write cache is switched, and again after a restart (${isolation}) #nvme:VWC`, async () => {
    await withController({}, async ({ model, client, disk }) => {
      assertEquals([client.writeCache, client.canSwitchCache], [true, true]);
      await client.setWriteCache(false);
      assertEquals(client.writeCache, false);
      model.fatal = true;
      await client.read(0, 512);
      assert(await soon(() => !client.writeCache), "the cache is on again");
      assertEquals((await disk.describe()).restarts, 1);
    }, { isolation });
    await withController({ writeCache: false }, async ({ client, model }) => {
      await client.flush();
      assertEquals([client.writeCache, client.canSwitchCache], [false, false]);
      assertEquals(model.counts[wire.FLUSH], 0);
    }, { isolation });
  });
}

Deno.test("nvme: namespaces: the first that is active, or the one that the tunable names #nvme:namespace", async () => {
  const namespaces = {
    2: { capacity: MIB },
    7: { capacity: 2 * MIB, blockSize: 4096 },
    9: { capacity: MIB, readOnly: true },
  };
  await withController({ namespaces, serial: "SN 1" }, async (bench) => {
    assertEquals([bench.client.capacity, await bench.client.id()], [MIB, "SN 1"]);
    await exercise(bench, 2);
  });
  await withController({ namespaces }, async (bench) => {
    assertEquals([bench.client.capacity, bench.client.blockSize], [2 * MIB, 4096]);
    await exercise(bench, 7);
    assertEquals(bench.model.contents(2, 0, MIB), new Uint8Array(MIB));
  }, { tunables: { "nvme.namespace": 7 } });
  await withController({ namespaces }, async ({ client }) => {
    assert(client.readOnly);
    await assertRejects(() => client.write(0, new Uint8Array(512)), TypeError, "read-only");
  }, { tunables: { "nvme.namespace": 9 } });
});

/** Controllers that cannot be driven, and what is said. */
const UNUSABLE: readonly [string, Partial<NvmeOptions>, string, number?][] = [
  ["no namespace", { namespaces: {} }, "has no active namespace; it has none"],
  ["not this namespace", {}, "has no active namespace 3; it has 1", 3],
  [
    "metadata",
    { namespaces: { 1: { capacity: MIB, metadata: 8 } } },
    "Namespace 1 of the controller has 8 bytes of metadata with each block",
  ],
  [
    "large blocks",
    { namespaces: { 1: { capacity: MIB, blockSize: 8192 } } },
    "Namespace 1 of the controller has blocks of 8192 bytes; 512 to 4096 can be used",
  ],
  ["doorbells too far apart", { stride: 10 }, "doorbells are too far apart"],
  [
    "never ready",
    { status: (honest) => honest & ~wire.CSTS_RDY },
    "did not become ready within 500 ms, as CAP.TO promises",
  ],
  [
    "never disabled",
    { status: (honest) => honest | wire.CSTS_RDY },
    "did not become disabled within 500 ms",
  ],
  [
    "fails at once",
    { status: (honest) => honest | wire.CSTS_CFS },
    "reports a fatal status (CSTS.CFS)",
  ],
  ["answers all ones", { status: () => 0xffffffff }, "The controller is gone"],
];

for (const [name, options, says, namespace = 0] of UNUSABLE) {
  Deno.test(`nvme: a controller that cannot be driven is refused with a sentence: ${name} #nvme:refused #nvme:CAP_TO`, async () => {
    for (const isolation of ISOLATIONS) {
      await assertRejects(
        () =>
          withController(options, () => Promise.resolve(), {
            isolation,
            tunables: { "nvme.namespace": namespace },
          }),
        Error,
        says,
      );
    }
  });
}

Deno.test("nvme: an error of the medium ends its request alone #nvme:status", async () => {
  const fail = (opcode: number, block: number) =>
    opcode === wire.READ && block === 8 ? wire.STATUS_UNRECOVERED_READ : undefined;
  await withController({ fail }, async ({ client, disk }) => {
    const reads = [0, 4096, 8192].map((offset) => client.read(offset, 4096));
    const [first, second, third] = await Promise.allSettled(reads);
    assertEquals([first!.status, second!.status, third!.status], [
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    assert((second as PromiseRejectedResult).reason instanceof RequestError);
    const { statistics, restarts } = await disk.describe();
    assertEquals([statistics.io_errors, statistics.read_ios, restarts], [1, 3, 0]);
  });
});

/** What a controller writes in place of its tenth completion, and what is said of it. */
const LIES: readonly [string, (honest: Completion) => readonly Completion[], string][] = [
  [
    "an identifier that no command has",
    (honest) => [{ ...honest, cid: 0xffff }],
    "ended command 65535, which is not in flight",
  ],
  [
    "the identifier of another slot",
    (honest) => [{ ...honest, cid: (honest.cid + 77) % 128 }],
    "which is not in flight",
  ],
  ["each twice", (honest) => [honest, honest], "which is not in flight"],
  [
    "another submission queue",
    (honest) => [{ ...honest, sqid: 2 }],
    "ended a command of submission queue 2",
  ],
  [
    "a head outside of the submission queue",
    (honest) => [{ ...honest, sqhd: 0x4000 }],
    "is at entry 16384 of the submission queue, where no command is",
  ],
  [
    "a head where no command was",
    (honest) => [{ ...honest, sqhd: (honest.sqhd + 200) % 256 }],
    "of the submission queue, where no command is",
  ],
];

for (const isolation of ISOLATIONS) {
  for (const [name, lie, says] of LIES) {
    Deno.test(`nvme: a lie is found, and what was asked is asked again: ${name} (${isolation}) #nvme:lies`, async () => {
      let completions = 0;
      const options = {
        lie: (honest: Completion) => ++completions === 10 ? lie(honest) : [honest],
      };
      await withController(options, async ({ model, client, notices, disk }) => {
        const bytes = pattern(20 * 65536, 3);
        await client.write(0, bytes);
        assertEquals(model.contents(1, 0, bytes.length), bytes);
        assert(await soon(() => notices.length > 0), "nothing was said");
        assert(notices[0]!.includes(says), notices[0]);
        assertEquals((await disk.describe()).restarts, 1);
      }, { isolation });
    });
  }

  Deno.test(`nvme: a completion with the phase tag of the one before is not seen: the deadline finds it (${isolation}) #nvme:lies`, async () => {
    let completions = 0;
    const lie = (honest: Completion) => [{ ...honest, stale: ++completions === 3 }];
    await withController({ lie }, async ({ client, notices }) => {
      const bytes = pattern(8 * 65536, 3);
      await client.write(0, bytes);
      assertEquals(await client.read(0, bytes.length), bytes);
      assert(notices[0]!.includes("within 300 ms"), notices[0]);
    }, { isolation, requestDeadline: 300 });
  });

  Deno.test(`nvme: a fatal status under load: reset, and everything that was under way is done (${isolation}) #nvme:CFS #nvme:replay`, async () => {
    await withController({}, async ({ model, client, notices }) => {
      const bytes = pattern(2 * MIB, 5);
      const writing = client.write(0, bytes);
      model.fatal = true;
      await writing;
      assertEquals(model.contents(1, 0, bytes.length), bytes);
      assert(notices[0]!.includes("reports a fatal status (CSTS.CFS)"), notices[0]);
    }, { isolation });
  });

  Deno.test(`nvme: a command that takes too long is aborted, and begun once more (${isolation}) #nvme:ABORT`, async () => {
    let left = 2;
    const lie = (honest: Completion) => left-- > 0 ? [] : [honest];
    await withController({ lie }, async ({ client, disk, model }) => {
      const bytes = pattern(4 * 65536, 7);
      await client.write(0, bytes);
      assertEquals(await client.read(0, bytes.length), bytes);
      const { statistics, restarts } = await disk.describe();
      // On a busy machine others may take too long as well.
      assert(statistics.aborts! >= 2);
      assertEquals([model.counts[256 + wire.ABORT], restarts], [statistics.aborts, 0]);
    }, { isolation, tunables: { "nvme.abort_after": 500 } });
  });

  Deno.test(`nvme: a controller that never ends a command is reset, and given up at last (${isolation}) #nvme:reset`, async () => {
    const open = { isolation, requestDeadline: 300, restarts: 1 };
    await withController({ lie: () => [] }, async ({ client, disk, notices }) => {
      await assertRejects(() => client.read(0, 512), RequestError, "gone");
      assert((await disk.gone)!.includes("within 300 ms"));
      assertEquals(notices.length, 1);
    }, open);
  });

  Deno.test(`nvme: what is asked beside the client's back is refused (${isolation}) #nvme:bounds`, async () => {
    await withController({}, async ({ client: { slots } }) => {
      const ask = (operation: number, sector: number, length: number) =>
        new Promise<number>((resolve) => {
          const slot = slots.take();
          slots.submit(slot, operation, sector, length, (_, status) => {
            slots.release(slot);
            resolve(status);
          });
          slots.publish();
        });
      const sectors = 4 * MIB / 512;
      assertEquals(await ask(0, sectors - 1, 512), 0);
      // Beyond its end, nothing, half a sector, and what no disk knows.
      assertEquals(await ask(0, sectors - 1, 1024), 6);
      assertEquals(await ask(0, 2 ** 50, 512), 6);
      assertEquals(await ask(1, 0, 0), 6);
      assertEquals(await ask(1, 0, 100), 6);
      assertEquals(await ask(14, 0, 512), 2);
    }, { isolation });
  });
}

Deno.test("nvme: a driver that is killed again and again under load loses nothing #nvme:replay", async () => {
  await withController({}, async ({ client, disk, model }) => {
    const wanted = new Uint8Array(4 * MIB);
    for (let kill = 0; kill < 3; kill++) {
      const bytes = pattern(4 * MIB, kill);
      wanted.set(bytes);
      const pid = disk.pid!;
      const writing = client.write(0, bytes);
      Deno.kill(pid, "SIGKILL");
      await writing;
      assertEquals(model.contents(1, 0, wanted.length), wanted);
      // All of the time its clients saw the disk as it is.
      assertEquals(client.capacity, 4 * MIB);
      assert(await soon(() => disk.pid !== pid), "no new process came");
    }
  }, { isolation: "process" });
});

Deno.test("nvme: shadow doorbells are used where the controller has them, unless the user or the pin forbids it #nvme:shadow", async () => {
  const configured = async (options: Partial<NvmeOptions>, open: OpenOptions = {}) => {
    let count = 0;
    await withController(options, async (bench) => {
      await exercise(bench);
      count = bench.model.counts[256 + wire.DOORBELL_BUFFER_CONFIG]!;
    }, open);
    return count;
  };
  assertEquals(await configured({}), 1);
  assertEquals(await configured({ shadow: false }), 0);
  assertEquals(await configured({}, { interrupts: "intx" }), 0);
  assertEquals(await configured({}, { tunables: { "nvme.shadow_doorbells": false } }), 0);
});
