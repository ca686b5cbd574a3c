import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  BlockOperation,
  type BlockProperties,
  blockProperties,
  BlockWord,
  SECTOR,
} from "./block.ts";
import { BlockClient } from "./block_client.ts";
import { Pair } from "./fake_test.ts";
import { Status, Word } from "./lane.ts";
import { RequestError } from "./request_error.ts";

interface DiskOptions {
  readonly sectors?: number;
  readonly slots?: number;
  readonly slotBytes?: number;
  readonly properties?: Partial<BlockProperties>;
  /** The status to answer with instead of serving a request; undefined to serve it. */
  readonly fail?: (operation: number, sector: number) => number | undefined;
  /** Bytes that it says it has moved, instead of the truth. */
  readonly moved?: (length: number) => number;
}

/** A client and a disk, which answers when it is told to, in an order of its own. */
class Disk {
  readonly bytes: Uint8Array;
  readonly pair: Pair;
  readonly client: BlockClient;
  /** Operations in the order in which they were answered: operation, sector, length. */
  readonly served: number[][] = [];
  readonly #options: DiskOptions;
  #waiting: number[] = [];

  constructor(options: DiskOptions = {}) {
    this.#options = options;
    const { sectors = 64, slots = 4, slotBytes = 1024, properties } = options;
    this.bytes = new Uint8Array(sectors * SECTOR);
    this.pair = new Pair({ slots, slotBytes });
    this.client = new BlockClient(this.pair.client, {
      sectors,
      blockSize: 4096,
      readOnly: false,
      writeCache: true,
      ...properties,
    });
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
    }
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
      "not multiples of 512",
    );
  }
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
    [Status.gone, "the driver is gone"],
    [77, "with status 77"],
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

Deno.test("a read that moved less than it should is none", async () => {
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
  const timer = setTimeout(() => late.resolve("some jobs never ended"), 3000);
  const result = await Promise.race([outcomes, late.promise]);
  clearTimeout(timer);
  assert(typeof result !== "string", result as string);
  assert(result.every(({ status }) => status === "rejected"));
});

Deno.test("new properties take effect", async () => {
  const disk = new Disk();
  disk.client.update({ sectors: 8, blockSize: 512, readOnly: true, writeCache: false });
  const { capacity, blockSize, readOnly, writeCache } = disk.client;
  assertEquals([capacity, blockSize, readOnly, writeCache], [4096, 512, true, false]);
  await assertRejects(() => disk.client.read(8 * SECTOR, SECTOR), RangeError, "ends at 4096");
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
  slots.attend()[Symbol.dispose]();
  slots.release(slot);
  assertStrictEquals(slots.take(), slot);
});

Deno.test("blockProperties() takes what can be, and names what cannot", () => {
  const right: BlockProperties = { sectors: 8, blockSize: 512, readOnly: true, writeCache: false };
  assertEquals(blockProperties({ ...right, more: 1 }), right);
  assertEquals(blockProperties({ ...right, sectors: 0 }).sectors, 0);
  const wrong: Record<keyof BlockProperties, unknown[]> = {
    sectors: [undefined, "8", -1, 1.5, NaN, 2 ** 53, 2 ** 45],
    blockSize: [undefined, "512", 0, 511, 1024.5, NaN, Infinity],
    readOnly: [undefined, 0, "true"],
    writeCache: [undefined, 1, null],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      assertThrows(
        () => blockProperties({ ...right, [name]: value }),
        TypeError,
        `property ${name}`,
      );
    }
  }
});
