import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BlockOperation, type BlockProperties, BlockWord, SECTOR } from "./protocol.ts";
import type { BlockClient } from "./client.ts";
import { block } from "./mod.ts";
import type { OpenDevice, Told } from "../../core/class/mod.ts";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status, Word } from "../../core/bus/lane.ts";
import { RequestError } from "../../core/bus/request_error.ts";

interface DiskOptions {
  readonly sectors?: number;
  readonly slots?: number;
  readonly slotBytes?: number;
  readonly properties?: Partial<BlockProperties>;
  /** The status to answer with instead of serving a request; undefined to serve it. */
  readonly fail?: (operation: number, sector: number) => number | undefined;
  /** Serves what is about zones. */
  readonly zones?: (operation: number, sector: number, slot: number, data: Uint8Array) => void;
  /** The status of the specification that goes with each answer. */
  readonly answer?: number;
  /** Bytes that it says it has moved, instead of the truth. */
  readonly moved?: (length: number) => number;
}

const STRETCHES: readonly number[] = [
  BlockOperation.discard,
  BlockOperation.writeZeroes,
  BlockOperation.secureErase,
];

/** A client and a disk, which answers when it is told to, in an order of its own. */
class Disk {
  readonly bytes: Uint8Array;
  readonly pair: Pair;
  readonly control = new Pair({ slots: 2, slotBytes: 8 });
  readonly client: BlockClient;
  readonly #open: OpenDevice<BlockClient>;
  /** Operations in the order in which they were answered: operation, sector, length. */
  readonly served: number[][] = [];
  /** Of those about a stretch: operation, sector, sectors, flags. */
  readonly stretches: number[][] = [];
  readonly #options: DiskOptions;
  #waiting: number[] = [];

  constructor(options: DiskOptions = {}) {
    this.#options = options;
    const { sectors = 64, slots = 4, slotBytes = 1024, properties } = options;
    this.bytes = new Uint8Array(sectors * SECTOR);
    this.pair = new Pair({ slots, slotBytes });
    const usual = { sectors, blockSize: 512, readOnly: false, writeCache: true };
    const lanes = { requests: this.pair.client, control: this.control.client };
    this.#open = block.open(new Map(Object.entries(lanes)), { ...usual, ...properties }, "blk");
    this.client = this.#open.client;
  }

  /** The driver tells this anew. */
  tell(told: Told): void {
    this.#open.update(told);
  }

  /** Device and driver are started anew, and it tells this. */
  restart(told: Told): void {
    this.#open.update(told);
    for (const pair of [this.pair, this.control]) pair.restart();
    this.#open.restarted();
  }

  /** Answers requests until there are none; `pick` chooses the next. */
  work(pick: (count: number) => number = () => 0): void {
    for (;;) {
      this.#waiting.push(...this.pair.take());
      if (this.#waiting.length === 0) return;
      const [slot] = this.#waiting.splice(pick(this.#waiting.length) % this.#waiting.length, 1);
      this.#serve(slot!);
      this.pair.client.drain();
    }
  }

  /** As {@linkcode work}, for as long as `result` is open. */
  async during<T>(result: Promise<T>, pick?: (count: number) => number): Promise<T> {
    this.work(pick);
    return await result;
  }

  #serve(slot: number): void {
    const { driver } = this.pair;
    const operation = driver.word(slot, BlockWord.operation);
    const length = driver.word(slot, Word.length);
    const sector = driver.word(slot, BlockWord.sectorHigh) * 2 ** 32 +
      driver.word(slot, BlockWord.sectorLow);
    this.served.push([operation, sector, length]);
    const data = this.pair.data(slot);
    const status = this.#options.fail?.(operation, sector) ?? Status.ok;
    const at = sector * SECTOR;
    if (status !== Status.ok) data.fill(0xee);
    else if (operation === BlockOperation.read) data.set(this.bytes.subarray(at, at + length));
    else if (operation === BlockOperation.write) this.bytes.set(data.subarray(0, length), at);
    else if (operation === BlockOperation.identify) {
      data.set(new TextEncoder().encode("SERIAL\0 and garbage behind it").subarray(0, 20));
    } else if (STRETCHES.includes(operation)) {
      const sectors = driver.word(slot, BlockWord.sectors);
      this.stretches.push([operation, sector, sectors, driver.word(slot, BlockWord.flags)]);
      this.bytes.fill(0, at, at + sectors * SECTOR);
    } else if (operation === BlockOperation.lifetime) data.set([1, 0, 2, 0, 3, 1]);
    else this.#options.zones?.(operation, sector, slot, data);
    driver.setWord(slot, BlockWord.answer, this.#options.answer ?? 0);
    this.pair.complete([slot], status, this.#options.moved?.(length) ?? length);
  }
}

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => seed + i * 7 + (i >> 9));
}

const SECTORS = 64;
const place = fc.tuple(fc.nat(SECTORS), fc.nat(SECTORS)).map(([a, b]) => ({
  offset: Math.min(a, b) * SECTOR,
  length: Math.abs(a - b) * SECTOR,
}));

Deno.test("reads and writes of any size and place do what they do to an array", async () => {
  const steps = fc.array(fc.tuple(fc.boolean(), place, fc.nat(255)), {
    maxLength: 25,
    size: "max",
  });
  const shape = fc.record({
    slots: fc.integer({ min: 1, max: 9 }),
    sectorsEach: fc.integer({ min: 1, max: 9 }),
  });
  await fc.assert(
    fc.asyncProperty(shape, steps, fc.infiniteStream(fc.nat(20)), async (shape, steps, picks) => {
      const { slots, sectorsEach } = shape;
      const disk = new Disk({ sectors: SECTORS, slots, slotBytes: sectorsEach * SECTOR });
      const model = new Uint8Array(SECTORS * SECTOR);
      const pick = () => picks.next().value as number;
      for (const [write, { offset, length }, seed] of steps) {
        if (write) {
          const bytes = pattern(length, seed);
          await disk.during(disk.client.write(offset, bytes), pick);
          model.set(bytes, offset);
        } else {
          const bytes = await disk.during(disk.client.read(offset, length), pick);
          assertEquals(bytes, model.slice(offset, offset + length));
        }
      }
      assertEquals(disk.bytes, model);
      assertEquals(disk.pair.client.inFlight, 0);
      const free = Array.from({ length: slots }, () => disk.pair.client.take());
      assertEquals(free.toSorted((a, b) => a - b), Array.from({ length: slots }, (_, i) => i));
    }),
    { numRuns: 60 },
  );
});

Deno.test("many jobs at once share the slots, and each gets its own bytes", async () => {
  for (const slots of [1, 3, 16]) {
    const disk = new Disk({ slots, slotBytes: SECTOR });
    for (let i = 0; i < 64; i++) disk.bytes.fill(i + 1, i * SECTOR, (i + 1) * SECTOR);
    const reads = Array.from(
      { length: 60 },
      (_, i) => disk.client.read(i * SECTOR, (1 + i % 5) * SECTOR),
    );
    let turn = 0;
    disk.work(() => turn += 5);
    for (const [i, bytes] of (await Promise.all(reads)).entries()) {
      const expected = disk.bytes.slice(i * SECTOR, (i + 1 + i % 5) * SECTOR);
      assertEquals(bytes, expected);
    }
    assertEquals(disk.pair.client.inFlight, 0);
  }
});

Deno.test("a job is cut at the size of a slot, and nowhere else", async () => {
  const disk = new Disk({ slotBytes: 3 * SECTOR });
  await disk.during(disk.client.write(SECTOR, new Uint8Array(7 * SECTOR)));
  assertEquals(disk.served, [[1, 1, 1536], [1, 4, 1536], [1, 7, 512]]);
});

Deno.test("positions behind 2 TiB reach the driver whole", async () => {
  const sector = 2 ** 33 + 5;
  const disk = new Disk({ properties: { sectors: 2 ** 40 }, fail: () => Status.ok });
  await disk.during(disk.client.write(sector * SECTOR, new Uint8Array(SECTOR))).catch(() => {});
  assertEquals(disk.served, [[1, sector, SECTOR]]);
  assertEquals(disk.client.capacity, 2 ** 49);
});

Deno.test("nothing to move needs no request", async () => {
  const disk = new Disk();
  assertEquals(await disk.client.read(0, 0), new Uint8Array(0));
  await disk.client.write(64 * SECTOR, new Uint8Array(0));
  assertEquals(disk.served, []);
});

Deno.test("flush and identify are one request each", async () => {
  const disk = new Disk();
  await disk.during(disk.client.flush());
  assertEquals(await disk.during(disk.client.id()), "SERIAL");
  assertEquals(disk.served.map(([operation]) => operation), [2, 3]);
});

Deno.test("an identity without an end is 20 characters long, one that was not delivered is empty", async () => {
  const whole = new Disk({ moved: () => 6 });
  assertEquals(await whole.during(whole.client.id()), "SERIAL");
  const none = new Disk({ moved: () => 0 });
  assertEquals(await none.during(none.client.id()), "");
});

Deno.test("ranges that cannot be are refused before anything happens", async () => {
  const disk = new Disk();
  const wrong = [[1, 512], [512, 1], [-512, 512], [0, -512], [0.5, 512], [NaN, 512], [0, NaN]];
  for (const [offset, length] of wrong) {
    await assertRejects(
      () => disk.client.read(offset!, length!),
      RangeError,
    );
  }
  await assertRejects(() => disk.client.read(1, 512), RangeError, "not multiples of 512");
  await assertRejects(() => disk.client.write(0, new Uint8Array(5)), RangeError, "Cannot write 5");
  for (const [offset, length] of [[64 * 512, 512], [0, 65 * 512], [2 ** 52, 512]]) {
    await assertRejects(() => disk.client.read(offset!, length!), RangeError, "ends at 32768");
  }
  assertEquals(disk.served, []);
});

Deno.test("a read-only disk is not written to", async () => {
  const disk = new Disk({ properties: { readOnly: true } });
  const write = () => disk.client.write(0, new Uint8Array(512));
  await assertRejects(write, TypeError, "read-only");
  assertEquals(disk.pair.rung, 0);
});

for (
  const [status, says] of [
    [Status.failed, "reported an error"],
    [Status.unsupported, "does not support it"],
    [Status.invalid, "answer was invalid"],
    [Status.refused, "does not fit the device as it is now"],
  ] as const
) {
  Deno.test(`a request that ends with status ${status} rejects`, async () => {
    const disk = new Disk({ fail: (_, sector) => sector === 4 ? status : undefined });
    const read = disk.client.read(0, 16 * SECTOR);
    const other = disk.client.read(20 * SECTOR, 4 * SECTOR);
    disk.work();
    const error = await assertRejects(() => read, RequestError, `Cannot read 8192 bytes at 0: `);
    assert(error.message.includes(says), error.message);
    assertEquals(error.status, status);
    assertEquals(await other, new Uint8Array(4 * SECTOR));
    assertEquals(disk.pair.client.inFlight, 0);
  });
}

Deno.test("a request whose driver is gone rejects", async () => {
  const disk = new Disk({});
  const read = disk.client.read(0, 16 * SECTOR);
  disk.pair.client.fail();
  const error = await assertRejects(() => read, RequestError, "the driver is gone");
  assertEquals(error.status, Status.gone);
});

Deno.test("a job that failed asks for no more, and the first error counts", async () => {
  const disk = new Disk({
    slots: 2,
    slotBytes: SECTOR,
    fail: (_, sector) => [undefined, Status.unsupported, Status.failed][sector],
  });
  const read = disk.client.read(0, 40 * SECTOR);
  disk.work();
  const error = await assertRejects(() => read, RequestError);
  assertEquals(error.status, Status.unsupported);
  assert(disk.served.length < 6, `${disk.served.length} requests were made`);
});

Deno.test("a lifetime that moved less than it should is none #core:short", async () => {
  const disk = new Disk({ properties: { lifetime: true }, moved: () => 5 });
  const error = await assertRejects(() => disk.during(disk.client.lifetime()), RequestError);
  assertEquals(error.status, Status.invalid);
});

Deno.test("a read that moved less than it should is none #core:short", async () => {
  for (const moved of [() => 0, (length: number) => length - 1]) {
    const disk = new Disk({ moved });
    const error = await assertRejects(() => disk.during(disk.client.read(0, 512)), RequestError);
    assertEquals(error.status, Status.invalid);
    await disk.during(disk.client.write(0, new Uint8Array(512)));
  }
});

Deno.test("when the driver is gone, everything is given back, now and later", async () => {
  const disk = new Disk();
  const jobs = [disk.client.read(0, 64 * SECTOR), disk.client.flush(), disk.client.id()];
  disk.pair.take();
  disk.pair.client.fail();
  jobs.push(disk.client.write(0, new Uint8Array(SECTOR)));
  for (const job of jobs) {
    const error = await assertRejects(async () => void await job, RequestError, "driver is gone");
    assertEquals(error.status, Status.gone);
  }
});

Deno.test("when the driver is gone, however many jobs there are are given back", async () => {
  const disk = new Disk({ slots: 2 });
  const jobs = Array.from({ length: 50_000 }, () => disk.client.flush());
  const outcomes = Promise.allSettled(jobs);
  disk.pair.client.fail();
  // A job that is forgotten would never settle.
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(() => late.resolve("some jobs never ended"), 60_000);
  const result = await Promise.race([outcomes, late.promise]);
  clearTimeout(timer);
  assert(typeof result !== "string", result as string);
  assert(result.every(({ status }) => status === "rejected"));
});

Deno.test("new properties take effect", async () => {
  const disk = new Disk();
  const properties = { sectors: 8, blockSize: 512, readOnly: true, writeCache: false };
  disk.tell(properties);
  const { capacity, blockSize, readOnly, writeCache } = disk.client;
  assertEquals([capacity, blockSize, readOnly, writeCache], [4096, 512, true, false]);
  await assertRejects(() => disk.client.read(8 * SECTOR, SECTOR), RangeError, "ends at 4096");
});

Deno.test("discards, zeroes and erases are cut at the device's limits, and nowhere else", async () => {
  const properties = {
    discardSectors: 10,
    discardAlignment: 4,
    zeroesSectors: 16,
    zeroesUnmap: true,
    eraseSectors: 32,
    eraseAlignment: 8,
  };
  const disk = new Disk({ properties });
  const { client } = disk;
  assertEquals([client.canDiscard, client.canWriteZeroes, client.canSecureErase], [
    true,
    true,
    true,
  ]);
  await disk.during(client.discard(0, 20 * SECTOR));
  await disk.during(client.writeZeroes(SECTOR, 17 * SECTOR));
  await disk.during(client.writeZeroes(0, SECTOR, { unmap: true }));
  await disk.during(client.secureErase(8 * SECTOR, 16 * SECTOR));
  const { discard, writeZeroes, secureErase } = BlockOperation;
  assertEquals(disk.stretches, [
    [discard, 0, 8, 0],
    [discard, 8, 8, 0],
    [discard, 16, 4, 0],
    [writeZeroes, 1, 16, 0],
    [writeZeroes, 17, 1, 0],
    [writeZeroes, 0, 1, 1],
    [secureErase, 8, 16, 0],
  ]);
  await client.discard(64 * SECTOR, 0);
  await assertRejects(() => client.secureErase(0, 9 * SECTOR), RangeError, "multiples of 4096");
  await assertRejects(() => client.discard(0, 65 * SECTOR), RangeError, "ends at 32768");
  await assertRejects(() => client.writeZeroes(1, 512), RangeError, "not multiples");
  assertEquals(disk.stretches.length, 7);
});

Deno.test("blocks are the unit of changes: of their places, of their pieces and of what is there #blk:block_size", async () => {
  const blocks = { sectors: 67, properties: { blockSize: 4096 }, slotBytes: 4096 };
  const disk = new Disk(blocks);
  const { client } = disk;
  assertEquals([client.blockSize, client.capacity], [4096, 32768]);
  const bytes = pattern(8192, 1);
  await disk.during(client.write(4096, bytes));
  assertEquals(disk.served, [[BlockOperation.write, 8, 4096], [BlockOperation.write, 16, 4096]]);
  // Reads of sectors read the blocks around.
  assertEquals(await disk.during(client.read(4608, 1024)), bytes.slice(512, 1536));
  assertEquals(disk.served.slice(2), [[BlockOperation.read, 8, 4096]]);
  const reason = "not multiples of 4096, the size of its blocks";
  for (const [offset, length] of [[0, 512], [512, 4096], [4096, 4608]] as const) {
    const part = new Uint8Array(length);
    await assertRejects(() => client.write(offset, part), RangeError, reason);
    await assertRejects(() => client.discard(offset, length), RangeError, reason);
    await assertRejects(() => client.writeZeroes(offset, length), RangeError, reason);
    await assertRejects(() => client.secureErase(offset, length), RangeError, reason);
  }
  await assertRejects(() => client.read(32768, 512), RangeError, "ends at 32768");
  await assertRejects(() => client.read(100, 512), RangeError, "not multiples of 512");
});

Deno.test("limits that are no whole blocks are cut at one, and those below a block are none #blk:block_size #blk:D-90", async () => {
  const limits = [
    // QEMU's, of 2 GiB less a sector.
    [{ zeroesSectors: 4194303 }, 4194296],
    [{ discardSectors: 4194303, discardAlignment: 8 }, 4194296],
    [{ discardSectors: 100, discardAlignment: 24 }, 96],
    [{ discardSectors: 100, discardAlignment: 3 }, 96],
    [{ discardSectors: 20, discardAlignment: 3 }, 16],
    [{ discardSectors: 2 ** 32 - 1, discardAlignment: 2 ** 32 - 5 }, 2 ** 32 - 8],
    [{ eraseSectors: 4194303, eraseAlignment: 16 }, 4194288],
    [{ zeroesSectors: 7, discardSectors: 7, eraseSectors: 7 }, 0],
  ] as const;
  for (const [properties, first] of limits) {
    const disk = new Disk({ properties: { blockSize: 4096, sectors: 2 ** 35, ...properties } });
    const { client } = disk;
    const { canDiscard, canWriteZeroes, canSecureErase } = client;
    const bytes = 2.5 * first * SECTOR - 2.5 * first * SECTOR % 65536 + 65536;
    const works = [
      canDiscard && client.discard(0, bytes),
      canWriteZeroes && client.writeZeroes(0, bytes),
      canSecureErase && client.secureErase(0, bytes),
    ].filter((work) => work !== false);
    assertEquals(works.length, first === 0 ? 0 : 1);
    for (const work of works) {
      await disk.during(work);
      assert(
        disk.stretches.every(([, sector, sectors]) => sector! % 8 === 0 && sectors! % 8 === 0),
      );
      assertEquals(disk.stretches[0]![2], first);
    }
  }
});

Deno.test("what the device does not have is refused before anything happens", async () => {
  const disk = new Disk();
  const { client } = disk;
  for (
    const call of [
      () => client.discard(0, 512),
      () => client.writeZeroes(0, 512),
      () => client.secureErase(0, 512),
    ]
  ) {
    await assertRejects(call, RequestError, "does not support it");
  }
  assertEquals([client.zones, client.geometry, client.canSwitchCache], [
    undefined,
    undefined,
    false,
  ]);
  assertEquals(disk.served, []);
  const readOnly = new Disk({ properties: { readOnly: true, discardSectors: 8 } });
  await assertRejects(() => readOnly.client.discard(0, 512), TypeError, "read-only");
});

Deno.test("readInto fills what it is given, and lifetime decodes three numbers", async () => {
  const disk = new Disk();
  disk.bytes.fill(9, SECTOR, 3 * SECTOR);
  const bytes = new Uint8Array(2 * SECTOR);
  await disk.during(disk.client.readInto(SECTOR, bytes));
  assert(bytes.every((byte) => byte === 9));
  assertEquals(await disk.during(disk.client.lifetime()), {
    preEndOfLife: 1,
    typeA: 2,
    typeB: 259,
  });
});

Deno.test("topology and geometry are what the device says", () => {
  const topology = { physicalBlockSize: 4096, alignmentOffset: 512, minimumTransfer: 4096 };
  const { client } = new Disk({
    properties: { ...topology, bestTransfer: 65536, cylinders: 9, heads: 8, sectorsPerTrack: 7 },
  });
  assertEquals(client.topology, { blockSize: 512, ...topology, bestTransfer: 65536 });
  assertEquals(client.geometry, { cylinders: 9, heads: 8, sectors: 7 });
});

Deno.test("a change is told, once the new properties hold", async () => {
  const disk = new Disk();
  const { client } = disk;
  using changes = client.changes();
  const told = { sectors: 8, blockSize: 512, readOnly: false, writeCache: true };
  disk.tell(told);
  assertEquals(client.capacity, 4096);
  assertEquals((await changes.next()).value, { type: "resized", capacity: 4096 });
  disk.tell({ ...told, readOnly: true });
  assertEquals((await changes.next()).value, { type: "changed" });
});

Deno.test("a flush after a restart fails once if writes had ended that no flush covers (R4, R7)", async () => {
  const disk = new Disk({ properties: { discardSectors: 8 } });
  const { client } = disk;
  const flush = () => disk.during(client.flush());
  const restart = () => disk.pair.restart();
  for (
    const write of [() => client.write(0, new Uint8Array(512)), () => client.discard(0, 512)]
  ) {
    await disk.during(write());
    restart();
    const error = await assertRejects(flush, RequestError, "may have lost what was written");
    assertEquals(error.status, Status.failed);
    await flush();
    // What was flushed is safe, and reading needs no flush.
    await disk.during(write());
    await flush();
    await disk.during(client.read(0, 512));
    restart();
    await flush();
  }
});

Deno.test("a flush that failed leaves its matter to the next one", async () => {
  let broken = true;
  const disk = new Disk({
    fail: (operation) => operation === BlockOperation.flush && broken ? Status.failed : undefined,
  });
  await disk.during(disk.client.write(0, new Uint8Array(512)));
  await assertRejects(() => disk.during(disk.client.flush()), RequestError, "reported an error");
  broken = false;
  disk.pair.restart();
  await assertRejects(() => disk.during(disk.client.flush()), RequestError, "may have lost");
});

Deno.test("a disk that writes through loses nothing in a restart", async () => {
  const disk = new Disk({ properties: { writeCache: false } });
  await disk.during(disk.client.write(0, new Uint8Array(512)));
  disk.pair.restart();
  await disk.during(disk.client.flush());
});

Deno.test("the cache is switched on the lane for that, and again after a restart", async () => {
  const disk = new Disk({ properties: { cacheSwitch: true } });
  const { client, control } = disk;
  const properties = (writeCache: boolean) => ({
    sectors: 64,
    blockSize: 512,
    readOnly: false,
    writeCache,
    cacheSwitch: true,
  });
  const asked = () => {
    const modes = control.take().map((slot) => {
      const { driver } = control;
      assertEquals(driver.word(slot, BlockWord.operation), BlockOperation.setWriteCache);
      control.complete([slot]);
      return driver.word(slot, BlockWord.sectors);
    });
    control.client.drain();
    return modes;
  };
  const off = client.setWriteCache(false);
  assertEquals(asked(), [0]);
  disk.tell(properties(false));
  // Everything is made durable first; that request comes in a moment.
  await new Promise((resolve) => setTimeout(resolve));
  await disk.during(off);
  assertEquals(disk.served.map(([operation]) => operation), [BlockOperation.flush]);
  using changes = client.changes();
  disk.restart(properties(true));
  assertEquals(asked(), [0]);
  for (let i = 0; i < 2; i++) disk.tell(properties(false));
  assertEquals(asked(), []);
  // One that is under way when the device is started anew comes after what was set before.
  const on = client.setWriteCache(true);
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(control.take().length, 1);
  disk.restart(properties(true));
  const again: number[] = [];
  while (again.length < 2) {
    await new Promise((resolve) => setTimeout(resolve));
    again.push(...asked());
  }
  await on;
  assertEquals(again, [0, 1]);
  const told = [];
  for (let i = 0; i < 5; i++) told.push((await changes.next()).value);
  const restarted = { type: "restarted", lost: [] } as const;
  const changed = { type: "changed" } as const;
  // What the driver told twice was news once.
  assertEquals(told, [changed, changed, restarted, changed, restarted]);
  const plain = block.open(new Map([["requests", disk.pair.client]]), properties(true), "blk");
  await assertRejects(() => plain.client.setWriteCache(true), RequestError, "does not support");
});

/** A disk of 4 zones of 16 sectors; what stands in a report can be changed. */
function zonedDisk(change: (view: DataView) => void = () => {}, answer = 0): Disk {
  const disk: Disk = new Disk({
    answer,
    properties: {
      zoneSectors: 16,
      hostManaged: true,
      mostOpenZones: 2,
      mostActiveZones: 3,
      appendSectors: 64,
      writeGranularity: 512,
    },
    fail: () => answer === 0 ? undefined : Status.failed,
    zones(operation, sector, slot, data) {
      if (operation === BlockOperation.zoneAppend) {
        disk.pair.driver.setWord(slot, BlockWord.sectorLow, sector + 3);
      }
      if (operation !== BlockOperation.zoneReport) return;
      const view = new DataView(data.buffer, data.byteOffset, data.length);
      view.setBigUint64(0, 4n - BigInt(sector / 16), true);
      for (let zone = sector / 16, at = 64; zone < 4 && at < data.length; zone++, at += 64) {
        view.setBigUint64(at, 16n, true);
        view.setBigUint64(at + 8, BigInt(zone * 16), true);
        view.setBigUint64(at + 16, BigInt(zone * 16 + 5), true);
        view.setUint8(at + 24, zone === 0 ? 1 : 2);
        view.setUint8(at + 25, zone === 0 ? 0 : 2);
      }
      change(view);
    },
  });
  return disk;
}

Deno.test("zones are reported in as many requests as that takes", async () => {
  const disk = zonedDisk();
  const zones = disk.client.zones!;
  assertEquals([zones.zoneSize, zones.hostManaged, zones.mostOpen, zones.mostActive], [
    8192,
    true,
    2,
    3,
  ]);
  assertEquals([zones.mostAppend, zones.writeGranularity], [1024, 512]);
  const found = await disk.during(zones.report());
  assertEquals(found.map(({ start, pointer, type }) => [start, pointer, type]), [
    [0, undefined, "conventional"],
    [8192, 8192 + 2560, "sequential"],
    [16384, 16384 + 2560, "sequential"],
    [24576, 24576 + 2560, "sequential"],
  ]);
  const [one] = await disk.during(zones.report(8192 + 512, 512));
  assertEquals([one?.start, one?.state, one?.capacity], [8192, "implicitly open", 8192]);
});

Deno.test("a report that cannot be is none (D-90)", async () => {
  const wrong: ((view: DataView) => void)[] = [
    (view) => view.setBigUint64(0, 0n, true),
    (view) => view.setBigUint64(64 + 8, 7n, true),
    (view) => view.setBigUint64(64, 17n, true),
    (view) => view.setUint8(64 + 24, 9),
    (view) => view.setUint8(64 + 25, 77),
  ];
  for (const change of wrong) {
    const disk = zonedDisk(change);
    await assertRejects(
      () => disk.during(disk.client.zones!.report()),
      RequestError,
      "Cannot report the zones from 0 on: the device's answer was invalid",
    );
  }
});

Deno.test("an append tells where it went, if that can be", async () => {
  const disk = zonedDisk();
  const zones = disk.client.zones!;
  assertEquals(await disk.during(zones.append(8192, new Uint8Array(512))), 8192 + 3 * 512);
  for (const [start, length] of [[0, 0], [0, 100], [0, 2048], [100, 512], [64 * 512, 512]]) {
    await assertRejects(() => zones.append(start!, new Uint8Array(length!)), RangeError);
  }
  assertEquals(disk.served.length, 1);
  const lost = zones.append(0, new Uint8Array(512));
  disk.pair.take();
  disk.pair.restart();
  const error = await assertRejects(() => lost, RequestError, "whether it was done is not known");
  assertEquals([error.status, disk.pair.take()], [Status.unknown, []]);
});

Deno.test("zones are managed by their beginnings, and what the device says against it is told", async () => {
  const disk = zonedDisk();
  const zones = disk.client.zones!;
  await disk.during(zones.open(8192));
  await disk.during(zones.close(8192));
  await disk.during(zones.finish(8192));
  await disk.during(zones.reset(8192));
  await disk.during(zones.resetAll());
  const { zoneOpen, zoneClose, zoneFinish, zoneReset, zoneResetAll } = BlockOperation;
  assertEquals(disk.served, [
    [zoneOpen, 16, 0],
    [zoneClose, 16, 0],
    [zoneFinish, 16, 0],
    [zoneReset, 16, 0],
    [zoneResetAll, 0, 0],
  ]);
  await assertRejects(() => zones.open(512), RangeError, "multiples of 8192");
  const full = zonedDisk(undefined, 6);
  await assertRejects(
    () => full.during(full.client.zones!.open(8192)),
    RequestError,
    "Cannot open the zone at 8192: too many zones are active",
  );
});

Deno.test("a write to host-managed zones goes piece by piece, and none of it twice", async () => {
  const disk = zonedDisk();
  const write = disk.client.write(0, new Uint8Array(3 * SECTOR));
  assertEquals(disk.pair.client.inFlight, 1);
  disk.pair.take();
  disk.pair.restart();
  await assertRejects(() => write, RequestError, "started anew");
  assertEquals(disk.pair.take(), []);
});

Deno.test("slots are the lane's, without a copy", () => {
  const disk = new Disk();
  const { slots } = disk.client;
  assertEquals([slots.count, slots.bytes, slots.inFlight], [4, 1024, 0]);
  const slot = slots.take();
  slots.data(slot).fill(9);
  const ended: number[][] = [];
  const done = (...answer: number[]) => ended.push(answer);
  slots.submit(slot, BlockOperation.write, 3, SECTOR, done);
  assertEquals(slots.inFlight, 1);
  slots.publish();
  disk.work();
  assertEquals(ended, [[slot, Status.ok, SECTOR]]);
  assert(disk.bytes.subarray(3 * SECTOR, 4 * SECTOR).every((byte) => byte === 9));
  assertEquals(slots.wait(0), 0);
  slots.busyPoll()[Symbol.dispose]();
  slots.release(slot);
  assertStrictEquals(slots.take(), slot);
});

Deno.test("what a disk's driver tells is what can be, and what cannot is named", () => {
  const requests = new Pair({ slots: 1 }).client;
  const open = (told: Told) => block.open(new Map([["requests", requests]]), told, "blk").client;
  const right = { sectors: 8, blockSize: 512, readOnly: true, writeCache: false };
  const { capacity, blockSize, readOnly, writeCache, canDiscard, zones, tellsLifetime } = open({
    ...right,
    more: 1,
  });
  assertEquals([capacity, blockSize, readOnly, writeCache], [4096, 512, true, false]);
  assertEquals([canDiscard, zones, tellsLifetime], [false, undefined, false]);
  assertEquals(open({ ...right, sectors: 0 }).capacity, 0);
  const wrong: Partial<Record<keyof BlockProperties, unknown[]>> = {
    discardSectors: ["8", -1, 0.5],
    hostManaged: [1, "yes"],
    sectors: [undefined, "8", -1, 1.5, NaN, 2 ** 53, 2 ** 45],
    blockSize: [undefined, "512", 0, 511, 1024.5, NaN, Infinity],
    readOnly: [undefined, 0, "true"],
    writeCache: [undefined, 1, null],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      assertThrows(
        () => open({ ...right, [name]: value }),
        TypeError,
        `Cannot use the property ${name} of the driver blk`,
      );
    }
  }
});
