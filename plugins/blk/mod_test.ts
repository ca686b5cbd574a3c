import { assert, assertEquals } from "@std/assert";
import {
  BlockOperation,
  BlockWord,
  type Config,
  type Decline,
  type Device,
  type Offer,
  type Plan,
  Status,
  type Virtqueue,
} from "@virtio/deno/plugin";
import { ask } from "@virtio/deno/simulation";
import blk from "./mod.ts";
import { DiskModel, type DiskOptions } from "./model.ts";
import * as wire from "./wire.ts";

type AnyPlan = Plan<string, string, string>;

function config(fields: (view: DataView) => void, length: number = wire.CONFIG_BYTES): Config {
  const view = new DataView(new ArrayBuffer(length + 8));
  fields(view);
  return {
    length,
    u8: (offset) => view.getUint8(offset),
    u16: (offset) => view.getUint16(offset, true),
    u32: (offset) => view.getUint32(offset, true),
    u64: (offset) => view.getBigUint64(offset, true),
  };
}

interface Disk {
  readonly capacity?: bigint;
  readonly sizeMax?: number;
  readonly blkSize?: number;
  readonly numQueues?: number;
  readonly features?: bigint;
  readonly queues?: readonly number[];
}

function offer(disk: Disk): Offer {
  const { capacity = 100n, sizeMax = 65536, blkSize = 0, numQueues = 0 } = disk;
  return {
    features: disk.features ?? 0n,
    queues: disk.queues ?? [256],
    tunables: {},
    config: config((view) => {
      view.setBigUint64(wire.CONFIG_CAPACITY, capacity, true);
      view.setUint32(wire.CONFIG_SIZE_MAX, sizeMax, true);
      view.setUint32(wire.CONFIG_BLK_SIZE, blkSize, true);
      view.setUint16(wire.CONFIG_NUM_QUEUES, numQueues, true);
    }),
  };
}

function plan(disk: Disk): AnyPlan {
  const answer = blk.plan(offer(disk));
  assert(!("decline" in answer), (answer as Decline).decline);
  return answer;
}

function decline(disk: Disk): string {
  const answer = blk.plan(offer(disk));
  assert("decline" in answer);
  return answer.decline;
}

Deno.test("the plan takes nothing that was not offered, and nothing that the driver does not know", () => {
  for (let i = 0n; i < 64n; i++) {
    const taken = plan({ features: 1n << i }).features ?? 0n;
    assert(taken === 0n || taken === 1n << i);
  }
  const unknown = wire.F_ZONED | wire.F_SECURE_ERASE | wire.F_LIFETIME | 1n << 60n;
  assertEquals(plan({ features: unknown | wire.F_FLUSH }).features, wire.F_FLUSH);
});

for (
  const [numQueues, queues, expected] of [
    [1, [256], 1],
    [2, [256, 256], 2],
    [3, [256, 256], 2],
    [100, Array(100).fill(256), 4],
    [0, [256, 256], 1],
    [65535, [256], 1],
  ] as const
) {
  Deno.test(`of ${numQueues} queues, ${queues.length} of which are there, ${expected} are used`, () => {
    const planned = plan({ numQueues, queues, features: wire.F_MQ }).queues;
    const indices = Object.values(planned).map(({ index }) => index);
    assertEquals(indices, Array.from({ length: expected }, (_, i) => i));
    assertEquals(Object.keys(plan({ numQueues, queues }).queues).length, 1);
  });
}

Deno.test("a disk without any queue is not planned without one (D-32)", () => {
  const answer = blk.plan(offer({ numQueues: 4, queues: [0, 0, 0, 0], features: wire.F_MQ }));
  assert("decline" in answer || Object.keys(answer.queues).length > 0);
});

Deno.test("the plan has what one request needs", () => {
  const { queues, lanes, buffers } = plan({});
  assertEquals(queues, { requests0: { index: 0, size: 256, buffers: 3 } });
  assertEquals(lanes, { requests: { slots: 128, slotBytes: 65536 } });
  assertEquals(buffers, { headers: 128 * 16, statuses: 128 });
});

for (
  const [capacity, sectors] of [[0n, 0], [1n, 1], [2n ** 44n - 1n, 2 ** 44 - 1]] as const
) {
  Deno.test(`a disk of ${capacity} sectors is one`, () => {
    assertEquals(plan({ capacity }).properties?.sectors, sectors);
  });
}

for (const capacity of [2n ** 44n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
  Deno.test(`a disk of ${capacity} sectors is none (D-38)`, () => {
    assert(decline({ capacity }).includes(`capacity of ${capacity} sectors`));
  });
}

Deno.test("size_max bounds a slot, in whole sectors, if it was offered (D-38)", () => {
  const slotBytes = (sizeMax: number, features = wire.F_SIZE_MAX) =>
    plan({ sizeMax, features }).lanes.requests?.slotBytes;
  for (const [sizeMax, bytes] of [[512, 512], [1023, 512], [65535, 65024], [2 ** 32 - 1, 65536]]) {
    assertEquals(slotBytes(sizeMax!), bytes);
  }
  assertEquals(slotBytes(0, 0n), 65536);
  for (const sizeMax of [0, 1, 100, 511]) {
    const reason = decline({ sizeMax, features: wire.F_SIZE_MAX });
    assert(reason.includes(`${sizeMax} bytes at a time`));
  }
});

Deno.test("blk_size is believed if it can be true (D-38)", () => {
  const blockSize = (blkSize: number, features = wire.F_BLK_SIZE) =>
    plan({ blkSize, features }).properties?.blockSize;
  for (const right of [512, 1024, 4096, 2 ** 20]) assertEquals(blockSize(right), right);
  for (const wrong of [0, 1, 3, 256, 513, 4097, 2 ** 21, 2 ** 31, 2 ** 32 - 1]) {
    assertEquals(blockSize(wrong), 512);
  }
  assertEquals(blockSize(4096, 0n), 512);
});

Deno.test("the features say whether a disk takes writes and caches them", () => {
  for (
    const [features, readOnly, writeCache] of [
      [0n, false, false],
      [wire.F_RO, true, false],
      [wire.F_FLUSH, false, true],
    ] as const
  ) {
    const { properties } = plan({ features });
    assertEquals([properties?.readOnly, properties?.writeCache], [readOnly, writeCache]);
  }
});

const SLOTS = 128;
const SLOT_BYTES = 65536;
const HEADERS = 0;
const STATUSES = 4096;
const DATA = 8192;

/** A driver whose queue ends at a model: each request is answered when the test says so. */
class Bench {
  readonly memory = new Uint8Array(new SharedArrayBuffer(DATA + 8 * SLOT_BYTES));
  readonly words = new Map<number, number[]>();
  readonly completed: number[][] = [];
  readonly driver;
  readonly model: DiskModel;
  readonly types: number[] = [];
  room = Infinity;
  #submitted: number[] = [];
  #building = { cookie: 0, readable: [] as number[][], writable: [] as number[][] };
  #waiting: { cookie: number; readable: number[][]; writable: number[][] }[] = [];

  constructor(features = wire.F_FLUSH, options: Partial<DiskOptions> = {}) {
    this.model = new DiskModel({ capacity: 1 << 20, serial: "SERIAL", ...options });
    const buffer = (offset: number, bytes: number) => ({
      offset,
      bytes: this.memory.subarray(offset, offset + bytes),
    });
    const queue = {
      begin: (cookie: number) => this.#building = { cookie, readable: [], writable: [] },
      readable: (...part: number[]) => void this.#building.readable.push(part),
      writable: (...part: number[]) => void this.#building.writable.push(part),
      commit: () => this.#waiting.length < this.room && this.#waiting.push(this.#building) > 0,
      drain: (collect: (cookie: number, written: number) => void) => this.#answer(collect),
    };
    const lane = {
      slots: SLOTS,
      slotBytes: SLOT_BYTES,
      offset: (slot: number) => DATA + slot * SLOT_BYTES,
      word: (slot: number, word: number) => this.words.get(slot)?.[word] ?? 0,
      take: (start: (slot: number) => boolean) => {
        while (this.#submitted.length > 0 && start(this.#submitted[0]!)) this.#submitted.shift();
      },
      complete: (...end: number[]) => void this.completed.push(end),
    };
    this.driver = blk.start({
      features,
      queues: { requests0: queue as unknown as Virtqueue },
      lanes: { requests: lane },
      buffers: { headers: buffer(HEADERS, SLOTS * 16), statuses: buffer(STATUSES, SLOTS) },
    } as unknown as Device<string, string, string>);
  }

  /** Changes what the model has answered: status and bytes written. */
  lie: (status: number, written: number) => [number, number] = (...truth) => truth;

  submit(slot: number, operation: number, sector = 0, length = 0): void {
    const words: number[] = [];
    words[BlockWord.operation] = operation;
    words[BlockWord.length] = length;
    words[BlockWord.sectorLow] = sector % 2 ** 32;
    words[BlockWord.sectorHigh] = Math.floor(sector / 2 ** 32);
    this.words.set(slot, words);
    this.#submitted.push(slot);
  }

  /** One request to its end. */
  run(operation: number, sector = 0, length = 0): number[] {
    this.submit(1, operation, sector, length);
    this.driver.rung();
    this.driver.rung();
    return this.completed.pop()!;
  }

  get data(): Uint8Array {
    return this.memory.subarray(DATA + SLOT_BYTES, DATA + 2 * SLOT_BYTES);
  }

  #answer(collect: (cookie: number, written: number) => void): void {
    for (const { cookie, readable, writable } of this.#waiting.splice(0)) {
      const bytes = readable.flatMap((
        [at, length],
      ) => [...this.memory.subarray(at, at! + length!)]);
      const request = Uint8Array.from(bytes);
      this.types.push(new DataView(request.buffer).getUint32(0, true));
      const room = writable.reduce((sum, [, length]) => sum + length!, 0);
      const answer = ask(this.model, request, room)!;
      const [status, written] = this.lie(answer.bytes.at(-1)!, answer.written);
      let done = 0;
      for (const [at, length] of writable) {
        this.memory.set(answer.bytes.subarray(done, done + length!), at);
        done += length!;
      }
      this.memory[STATUSES + cookie] = status;
      collect(cookie, written);
    }
  }
}

const { read, write, flush, identify } = BlockOperation;

Deno.test("the driver reads what it wrote", () => {
  const bench = new Bench();
  bench.data.fill(7, 0, 1024);
  assertEquals(bench.run(write, 3, 1024), [1, Status.ok, 1024]);
  bench.data.fill(0);
  assertEquals(bench.run(read, 2, 2048), [1, Status.ok, 2048]);
  assertEquals([...new Set(bench.data.subarray(0, 512))], [0]);
  assertEquals([...new Set(bench.data.subarray(512, 1536))], [7]);
});

Deno.test("the driver flushes where there is something to flush", () => {
  const caching = new Bench(wire.F_FLUSH);
  assertEquals(caching.run(flush), [1, Status.ok, 0]);
  assertEquals(caching.types, [wire.T_FLUSH]);
  const plain = new Bench(0n);
  assertEquals(plain.run(flush), [1, Status.ok, 0]);
  assertEquals(plain.types, []);
});

Deno.test("the driver asks for the identity", () => {
  const bench = new Bench();
  assertEquals(bench.run(identify), [1, Status.ok, 20]);
  assertEquals(new TextDecoder().decode(bench.data.subarray(0, 7)), "SERIAL\0");
});

Deno.test("operations that the driver does not know are unsupported", () => {
  for (const operation of [4, 99, 2 ** 32 - 1]) {
    assertEquals(new Bench().run(operation), [1, Status.unsupported, 0]);
  }
});

Deno.test("a request moves no more than a slot holds", () => {
  assertEquals(new Bench().run(read, 0, 2 ** 31), [1, Status.ok, SLOT_BYTES]);
});

Deno.test("positions are 64 bits wide", () => {
  const sectors: number[] = [];
  const bench = new Bench(0n, { fail: (_, sector) => void sectors.push(sector) });
  bench.run(read, 2 ** 33 + 5, 512);
  assertEquals(sectors, [2 ** 33 + 5]);
});

for (
  const [status, outcome] of [
    [wire.S_OK, Status.ok],
    [wire.S_IOERR, Status.failed],
    [wire.S_UNSUPP, Status.unsupported],
    [3, Status.invalid],
    [0xff, Status.invalid],
  ] as const
) {
  Deno.test(`status ${status} of the device ends a request as ${outcome} (D-85)`, () => {
    for (const operation of [read, write, flush, identify]) {
      const bench = new Bench();
      bench.lie = (_, written) => [status, written];
      assertEquals(bench.run(operation, 0, 512)[1], outcome);
    }
  });
}

Deno.test("a read that was not filled is none, whatever its status (D-86)", () => {
  for (const [written, outcome] of [[0, 3], [1, 3], [512, 3], [513, 0]] as const) {
    const bench = new Bench();
    bench.lie = (status) => [status, written];
    assertEquals(bench.run(read, 0, 512)[1], outcome);
  }
});

Deno.test("an identity that was not delivered is none (D-46)", () => {
  const bench = new Bench();
  bench.lie = (status) => [status, 1];
  assertEquals(bench.run(identify)[1], Status.invalid);
});

Deno.test("what finds no room is tried again", () => {
  const bench = new Bench();
  bench.room = 1;
  for (const slot of [0, 1, 2]) bench.submit(slot, read, slot, 512);
  for (let i = 0; i < 4; i++) bench.driver.rung();
  assertEquals(bench.completed.map(([slot]) => slot), [0, 1, 2]);
});

Deno.test("a changed configuration is passed on", () => {
  const { driver } = new Bench(wire.F_FLUSH | wire.F_BLK_SIZE);
  const changed = offer({ capacity: 7n, blkSize: 4096 }).config;
  assertEquals(driver.configured?.(changed), {
    sectors: 7,
    blockSize: 4096,
    readOnly: false,
    writeCache: true,
  });
});
