/**
 * The block driver on simulated disks: what QEMU's cannot do, and disks that lie.
 *
 * @module
 */

import type { BlockClient } from "../classes/block/mod.ts";
import type { Device } from "../classes.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { DiskModel, type DiskOptions } from "@virtio/blk/model";
import type { Isolation } from "../core/kernel/driver_host.ts";
import { DriverFault, fitted, RING_PACKED } from "../simulation/mod.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel, type OpenOptions, RequestError, Status } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";

const MIB = 2 ** 20;
const ISOLATIONS: readonly Isolation[] = ["process", "inline"];
const { T_IN, T_OUT, T_FLUSH } = { T_IN: 0, T_OUT: 1, T_FLUSH: 4 };

interface Bench {
  readonly model: DiskModel;
  readonly blk: Device<"block">;
  readonly client: BlockClient;
}

/** Drives a simulated disk. */
async function withDisk(
  model: DiskModel,
  use: (bench: Bench) => Promise<void>,
  options: OpenOptions = {},
): Promise<void> {
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
    ...options,
  });
  const blk = await kernel.attachFirst("block");
  await use({ model, blk, client: blk.client });
}

const disk = (options: Partial<DiskOptions> = {}) =>
  new DiskModel({ capacity: 4 * MIB, ...options });

for (const isolation of ISOLATIONS) {
  for (const ring of ["split", "packed"] as const) {
    const form = (model: DiskModel) =>
      fitted(model, ring === "packed" ? { with: RING_PACKED } : {});
    Deno.test(`blk: secure erase and lifetime (${isolation}, ${ring}) #blk:SECURE_ERASE #blk:LIFETIME`, async () => {
      const model = form(disk({ eraseAlignment: 8, lifetime: [2, 3, 4] }));
      await withDisk(model, async ({ client }) => {
        assertEquals(await client.lifetime(), { preEndOfLife: 2, typeA: 3, typeB: 4 });
        assert(client.canSecureErase);
        await client.write(0, pattern(MIB, 1));
        await client.secureErase(4096, 8192);
        const found = await client.read(0, 16384);
        assertEquals(found.subarray(0, 4096), pattern(4096, 1));
        assertEquals(found.subarray(4096, 12288), new Uint8Array(8192));
        await assertRejects(() => client.secureErase(512, 4096), RangeError, "multiples of 4096");
      }, { isolation });
    });

    Deno.test(`blk: host-managed zones (${isolation}, ${ring}) #blk:ZONED #blk:ZONE_APPEND #blk:ZONE_REPORT #blk:ZONE_OPEN #blk:ZONE_CLOSE #blk:ZONE_FINISH #blk:ZONE_RESET #blk:ZONE_RESET_ALL`, async () => {
      const zones = { size: 65536, conventional: 2, mostOpen: 3, mostActive: 4, mostAppend: 32768 };
      await withDisk(form(disk({ zones })), async ({ client }) => {
        assert(!client.canDiscard && client.zones);
        const { zones: managed } = client;
        assertEquals([managed.zoneSize, managed.hostManaged, managed.mostAppend], [
          65536,
          true,
          32768,
        ]);
        assertEquals((await managed.report()).length, 64);
        await client.write(1024, pattern(2048, 1)); // conventional: anywhere
        const start = 4 * 65536;
        await client.write(start, pattern(4096, 2));
        await assertRejects(
          () => client.write(start + 8192, pattern(512, 2)),
          RequestError,
          "it does not begin at the zone's write pointer",
        );
        const places = await Promise.all(
          [1, 2, 3].map((seed) => managed.append(start, pattern(4096, seed))),
        );
        assertEquals(places.toSorted((a, b) => a - b), [1, 2, 3].map((i) => start + i * 4096));
        for (const [i, place] of places.entries()) {
          assertEquals(await client.read(place, 4096), pattern(4096, i + 1));
        }
        const state = async (at: number) => {
          const [zone] = await managed.report(at, 65536);
          return [zone!.state, zone!.pointer! - at];
        };
        assertEquals(await state(start), ["implicitly open", 16384]);
        await managed.open(start);
        assertEquals(await state(start), ["explicitly open", 16384]);
        await managed.close(start);
        assertEquals(await state(start), ["closed", 16384]);
        await managed.finish(start);
        assertEquals(await state(start), ["full", 65536]);
        await assertRejects(
          () => managed.append(start, pattern(512, 1)),
          RequestError,
          "the zone is in no state for this",
        );
        await managed.reset(start);
        assertEquals(await state(start), ["empty", 0]);
        for (const zone of [4, 5, 6]) await managed.open(zone * 65536);
        await assertRejects(() => managed.open(7 * 65536), RequestError, "too many zones are open");
        await managed.resetAll();
        assertEquals(await state(4 * 65536), ["empty", 0]);
        // What is longer than a slot is written in its order.
        await client.write(start, pattern(65536, 9));
        assertEquals(await client.read(start, 65536), pattern(65536, 9));
      }, { isolation });
    });
  }
}

Deno.test("blk: host-aware zones are written as any disk, and reported #blk:ZONED", async () => {
  await withDisk(disk({ zones: { hostManaged: false, size: 65536 } }), async ({ client }) => {
    await client.write(3 * 65536 + 512, pattern(512, 1));
    const [zone] = await client.zones!.report(3 * 65536, 1);
    assertEquals([zone?.type, zone?.pointer], ["preferred", 3 * 65536 + 1024]);
    assert(client.canDiscard);
  });
});

for (const isolation of ISOLATIONS) {
  Deno.test(`blk: a disk that forgets its cache in a reset: the flush says so, and what it said was durable is (${isolation}) #blk:R1 #blk:R4 #blk:R7`, async () => {
    let requests = 0;
    // It breaks down at its eighth request, a flush, and is reset.
    const model = disk({ forgetful: true, fail: () => ++requests === 8 ? never() : undefined });
    await withDisk(model, async ({ client, blk }) => {
      const durable = new Uint8Array(MIB);
      let lost = 0;
      for (let i = 0; i < 12; i++) {
        const bytes = pattern(4096, i);
        await client.write(i * 4096, bytes);
        try {
          await client.flush();
          durable.set(bytes, i * 4096);
        } catch (error) {
          assert(error instanceof RequestError && error.status === Status.failed, String(error));
          lost++;
          // An application that is told writes it again.
          await client.write(i * 4096, bytes);
          await client.flush();
          durable.set(bytes, i * 4096);
        }
      }
      assert((await blk.describe()).restarts > 0);
      assertEquals(lost, 1);
      assertEquals(await client.read(0, 12 * 4096), durable.slice(0, 12 * 4096));
    }, { isolation });
  });
}

Deno.test("blk: whenever a disk breaks down and forgets, what a flush covered is there, and what it did not is told #blk:R1 #blk:R4 #blk:R7", async () => {
  const steps = fc.array(fc.record({ flush: fc.boolean(), place: fc.nat(7) }), {
    minLength: 1,
    maxLength: 20,
  });
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 25 }), async (steps, last) => {
      let requests = 0;
      const model = disk({
        forgetful: true,
        fail: () => ++requests === last ? quietly() : undefined,
      });
      await withDisk(model, async ({ client }) => {
        const written = new Map<number, number>();
        const durable = new Map<number, number>();
        const flush = async () => {
          try {
            await client.flush();
            for (const [at, value] of written) durable.set(at, value);
          } catch (error) {
            assert(error instanceof RequestError && error.status === Status.failed);
            // Nothing is known of what was written since; an application that wants it writes it again.
            for (const at of written.keys()) durable.delete(at);
          }
          written.clear();
        };
        for (const [i, step] of steps.entries()) {
          await client.write(step.place * 4096, new Uint8Array(4096).fill(i + 1));
          written.set(step.place, i + 1);
          if (step.flush) await flush();
        }
        await flush();
        model.reset(); // a power cut
        for (const [at, value] of durable) {
          assertEquals((await client.read(at * 4096, 512))[0], value, `at ${at}`);
        }
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("blk: an append that a reset interrupts is not done again #blk:once", async () => {
  const model = disk({ zones: { size: 65536 }, fail: (type) => type === 15 ? never() : undefined });
  await withDisk(model, async ({ client, blk }) => {
    const error = await assertRejects(
      () => client.zones!.append(0, pattern(512, 1)),
      RequestError,
    );
    assertEquals(error.status, Status.unknown);
    assert((await blk.describe()).restarts > 0);
    const [zone] = await client.zones!.report(0, 1);
    assertEquals(zone?.pointer, 0);
  });
});

/** The device breaks down, and no reader of the output is to see it. */
function quietly(): never {
  throw new DriverFault("the disk broke down");
}

/** The device breaks down. */
function never(): never {
  throw new Error("the disk broke down");
}

Deno.test("blk: the identity is not asked for where that is unwanted #blk:no_ident", async () => {
  const types: number[] = [];
  const model = disk({ serial: "SECRET", fail: (type) => void types.push(type) });
  await withDisk(model, async ({ client }) => {
    assertEquals(await client.id(), "");
    assert(!types.includes(8));
  }, { tunables: { "blk.no_ident": true } });
});

Deno.test("blk: the cache starts as it is wanted #blk:writecache_mode", async () => {
  for (const [mode, cached] of [[-1, true], [0, false], [1, true]] as const) {
    await withDisk(disk(), async ({ client, model }) => {
      assert(await soon(() => client.writeCache === cached));
      assertEquals(model.config[32], Number(cached));
    }, { tunables: { "blk.writecache_mode": mode } });
  }
});

Deno.test("blk: as many queues as are wanted #blk:MQ", async () => {
  for (const wanted of [1, 2, 4]) {
    await withDisk(disk({ requestQueues: 4 }), async ({ blk, client }) => {
      await Promise.all([0, 1, 2, 3, 4, 5].map((i) => client.read(i * 512, 512)));
      assertEquals((await blk.describe()).queues.length, wanted);
    }, { tunables: { "blk.num_request_queues": wanted } });
  }
});

Deno.test("blk lies: a status that no device writes, or none at all, is no success (D-85) #blk:D-85", async () => {
  for (const status of [0xff, 3, 7, 128]) {
    await withDisk(
      disk({ fail: (_, sector) => sector === 8 ? status : undefined }),
      async ({ client }) => {
        for (
          const request of [() => client.read(4096, 512), () => client.write(4096, pattern(512, 1))]
        ) {
          await assertRejects(request, RequestError, "the device's answer was invalid");
        }
        assertEquals((await client.read(0, 512)).length, 512);
      },
    );
  }
});

Deno.test("blk lies: a read that was not filled is none (D-86) #blk:D-86", async () => {
  for (const claim of [0, 1, 512]) {
    const model = disk({ claim: (type, written) => type === T_IN ? claim : written });
    await withDisk(model, async ({ client, blk }) => {
      await assertRejects(() => client.read(0, 1024), RequestError, "answer was invalid");
      await client.write(0, pattern(512, 1));
      assertEquals((await blk.describe()).statistics.invalid_answers, 1);
    });
  }
});

Deno.test("blk lies: a flush that does nothing cannot be found out, a disk that then forgets can (D-87) #blk:D-87", async () => {
  // It says ok without flushing, and loses everything in a reset.
  const model = disk({ forgetful: true, fail: (type) => type === T_FLUSH ? 0 : undefined });
  await withDisk(model, async ({ client }) => {
    await client.write(0, pattern(512, 1));
    await client.flush();
    model.reset(); // as a power cut would
    assertEquals(await client.read(0, 512), new Uint8Array(512));
  });
});

Deno.test("blk lies: an error that shows at the flush is the flush's (D-88) #blk:D-88", async () => {
  let broken = true;
  const model = disk({ fail: (type) => type === T_FLUSH && broken ? 1 : undefined });
  await withDisk(model, async ({ client }) => {
    await client.write(0, pattern(512, 1));
    await assertRejects(() => client.flush(), RequestError, "the device reported an error");
    broken = false;
    await client.flush();
  });
});

Deno.test("blk lies: a disk that shrinks in the middle of a write fails what is cut off, and tells (D-89) #blk:D-89 #blk:resize", async () => {
  for (const isolation of ISOLATIONS) {
    let shrink = () => {};
    const model = disk({ fail: (type) => void (type === T_OUT && shrink()) });
    await withDisk(model, async ({ client }) => {
      using changes = client.changes();
      shrink = () => {
        shrink = () => {};
        model.resize(MIB);
      };
      const write = client.write(0, pattern(4 * MIB, 1));
      const error = await assertRejects(() => write, RequestError);
      assert([Status.failed, Status.refused].some((status) => status === error.status));
      assertEquals((await changes.next()).value, { type: "resized", capacity: MIB });
      assertEquals(client.capacity, MIB);
      await assertRejects(() => client.read(MIB, 512), RangeError, "ends at 1048576");
      await client.write(MIB - 512, pattern(512, 1));
    }, { isolation });
  }
});

Deno.test("blk lies: limits that are 0 switch their features off (D-90) #blk:D-90", async () => {
  const model = disk({ eraseAlignment: 8 });
  for (const at of [36, 48, 60]) new DataView(model.config.buffer).setUint32(at, 0, true);
  await withDisk(model, async ({ client, blk }) => {
    assertEquals([client.canDiscard, client.canWriteZeroes, client.canSecureErase], [
      false,
      false,
      false,
    ]);
    const { features } = await blk.describe();
    for (const name of ["DISCARD", "WRITE_ZEROES", "SECURE_ERASE"]) {
      const found = features.list.find((feature) => feature.name === `VIRTIO_BLK_F_${name}`);
      assertEquals(found?.accepted, false);
    }
  });
});

Deno.test("blk lies: zones that cannot be: the disk is declined, and why is said (D-90) #blk:D-90 #blk:ZONED", async () => {
  const model = disk({ zones: { size: 65536 } });
  new DataView(model.config.buffer).setUint32(72, 100, true);
  await assertRejects(
    () => withDisk(model, () => Promise.resolve()),
    Error,
    "its zones cannot be true: a zone has 100 sectors, which is no power of two",
  );
});
