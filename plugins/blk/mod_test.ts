import { assert, assertEquals } from "@std/assert";
import {
  type Config,
  type Decline,
  type Device,
  type Offer,
  type Plan,
  type Properties,
  Status,
  type Tunables,
} from "@virtio/deno/plugin";
import { configView } from "@virtio/deno/testing";
import { BlockOperation, BlockWord, UNMAP } from "@virtio/deno/classes/block";
import { ask } from "@virtio/deno/simulation";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import blk from "./mod.ts";
import { DiskModel, type DiskOptions } from "./model.ts";
import * as wire from "./wire.ts";

const USUAL = { writecache_mode: -1, no_ident: false, num_request_queues: 4 };

type AnyPlan = Plan<string, string, string>;

function config(fields: (view: DataView) => void, length: number = wire.CONFIG_BYTES): Config {
  const view = new DataView(new ArrayBuffer(Math.max(length, wire.CONFIG_BYTES)));
  fields(view);
  return configView(new Uint8Array(view.buffer, 0, length));
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
    legacy: false,
    tunables: USUAL,
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
  // BARRIER and SCSI are of the past; bit 60 is of the future.
  const unknown = 1n | 1n << 7n | 1n << 60n;
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
  assertEquals(lanes, {
    requests: { slots: 128, slotBytes: 65536 },
    control: { slots: 4, slotBytes: 8, deadline: 5000 },
  });
  assertEquals(buffers, { heads: 128 * 32, tails: 128 * 16 });
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

Deno.test("size_max bounds a slot, in whole sectors, if it was offered (D-38) #blk:SIZE_MAX", () => {
  const slotBytes = (sizeMax: number, features = wire.F_SIZE_MAX) =>
    plan({ sizeMax, features }).lanes.requests?.slotBytes;
  for (const [sizeMax, bytes] of [[512, 512], [1023, 512], [65535, 65024], [2 ** 32 - 1, 65536]]) {
    assertEquals(slotBytes(sizeMax!), bytes);
  }
  assertEquals(slotBytes(0, 0n), 65536);
  // With 0, qemu-storage-daemon means that there is no limit.
  assertEquals(slotBytes(0), 65536);
  assertEquals(plan({ sizeMax: 0, features: wire.F_SIZE_MAX }).features, 0n);
  for (const sizeMax of [1, 100, 511]) {
    const reason = decline({ sizeMax, features: wire.F_SIZE_MAX });
    assert(reason.includes(`${sizeMax} bytes at a time`));
  }
});

Deno.test("blk_size is believed if it can be true (D-38)", () => {
  const blockSize = (blkSize: number, features = wire.F_BLK_SIZE) =>
    plan({ blkSize, features }).properties?.blockSize;
  for (const right of [512, 1024, 4096, 65536]) assertEquals(blockSize(right), right);
  for (const wrong of [0, 1, 3, 256, 513, 4097, 2 ** 22, 2 ** 31, 2 ** 32 - 1]) {
    assertEquals(blockSize(wrong), 512);
  }
  assertEquals(blockSize(4096, 0n), 512);
});

Deno.test("slots have whole blocks, and a disk whose blocks are larger is declined #blk:block_size", () => {
  const features = wire.F_BLK_SIZE | wire.F_SIZE_MAX;
  const slotBytes = (blkSize: number, sizeMax: number) =>
    plan({ blkSize, sizeMax, features }).lanes.requests?.slotBytes;
  assertEquals(slotBytes(4096, 2 ** 31), 65536);
  assertEquals(slotBytes(4096, 10_000), 8192);
  assertEquals(slotBytes(65536, 65536), 65536);
  for (const [blkSize, sizeMax, most] of [[4096, 2048, 2048], [2 ** 17, 2 ** 31, 65536]] as const) {
    const reason = decline({ blkSize, sizeMax, features });
    assertEquals(reason, `its blocks have ${blkSize} bytes, and a request takes ${most}`);
  }
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
const HEADS = 0;
const TAILS = 4096;
const DATA = 8192;

/** What a request about a stretch of the disk has. */
interface More {
  readonly sectors?: number;
  readonly flags?: number;
}

/** A driver whose queue ends at a model: each request is answered when the test says so. */
class Bench {
  readonly memory = new Uint8Array(new SharedArrayBuffer(DATA + 8 * SLOT_BYTES));
  readonly words = new Map<number, number[]>();
  readonly completed: number[][] = [];
  readonly driver;
  readonly model: DiskModel;
  readonly types: number[] = [];
  #submitted: number[] = [];
  readonly queue = new FakeQueue();
  readonly written: unknown[][] = [];
  readonly properties: Properties[] = [];
  readonly #control: number[][] = [];

  constructor(
    features = wire.F_FLUSH,
    options: Partial<DiskOptions> = {},
    tunables: Tunables = {},
  ) {
    this.model = new DiskModel({ capacity: 1 << 20, serial: "SERIAL", ...options });
    const buffer = (offset: number, bytes: number) => ({
      offset,
      bytes: this.memory.subarray(offset, offset + bytes),
    });
    const lane = {
      slots: SLOTS,
      slotBytes: SLOT_BYTES,
      offset: (slot: number) => DATA + slot * SLOT_BYTES,
      word: (slot: number, word: number) => this.words.get(slot)?.[word] ?? 0,
      setWord: (slot: number, word: number, value: number) => {
        this.words.get(slot)![word] = value;
      },
      take: (start: (slot: number) => boolean) => {
        while (this.#submitted.length > 0 && start(this.#submitted[0]!)) this.#submitted.shift();
      },
      complete: (...end: number[]) => void this.completed.push(end),
    };
    const control = {
      word: (slot: number, word: number) => this.#control[slot]?.[word] ?? 0,
      take: (start: (slot: number) => boolean) => {
        for (const slot of this.#control.keys()) start(slot);
      },
      complete: (...end: number[]) => {
        this.#control.length = 0;
        this.completed.push(end);
      },
    };
    const view = new DataView(this.model.config.buffer);
    this.driver = blk.start({
      features,
      tunables: { ...USUAL, ...tunables },
      queues: { requests0: this.queue },
      lanes: { requests: lane, control },
      buffers: { heads: buffer(HEADS, SLOTS * 32), tails: buffer(TAILS, SLOTS * 16) },
      config: config((copy) => {
        for (let i = 0; i < view.byteLength; i++) copy.setUint8(i, view.getUint8(i));
      }),
      writeConfig: (...write: unknown[]) => void this.written.push(write),
      setProperties: (properties: Properties) => void this.properties.push(properties),
    } as unknown as Device<string, string, string>);
  }

  /** A request to switch the cache, to its end. */
  control(operation: number, sectors: number): number[] {
    const words: number[] = [];
    words[BlockWord.operation] = operation;
    words[BlockWord.sectors] = sectors;
    this.#control[0] = words;
    this.rung();
    return this.completed.pop()!;
  }

  /** Changes what the model has answered: status and bytes written. */
  lie: (status: number, written: number) => [number, number] = (...truth) => truth;

  submit(slot: number, operation: number, sector = 0, length = 0, more: More = {}): void {
    const words: number[] = [];
    words[BlockWord.sectors] = more.sectors ?? 0;
    words[BlockWord.flags] = more.flags ?? 0;
    words[BlockWord.operation] = operation;
    words[BlockWord.length] = length;
    words[BlockWord.sectorLow] = sector % 2 ** 32;
    words[BlockWord.sectorHigh] = Math.floor(sector / 2 ** 32);
    this.words.set(slot, words);
    this.#submitted.push(slot);
  }

  /** One request to its end. */
  run(operation: number, sector = 0, length = 0, more: More = {}): number[] {
    this.submit(1, operation, sector, length, more);
    this.rung();
    this.rung();
    return this.completed.pop()!;
  }

  get data(): Uint8Array {
    return this.memory.subarray(DATA + SLOT_BYTES, DATA + 2 * SLOT_BYTES);
  }

  /** Lets the driver work, and has the model answer what that came to; the driver finds it the next time. */
  rung(): void {
    this.driver.rung();
    for (const { cookie, readable, writable } of [...this.queue.requests]) {
      const bytes = readable.flatMap(([at, length]) => [...this.memory.subarray(at, at + length)]);
      const request = Uint8Array.from(bytes);
      this.types.push(new DataView(request.buffer).getUint32(0, true));
      const room = writable.reduce((sum, [, length]) => sum + length, 0);
      const answer = ask(this.model, request, room)!;
      const [status, written] = this.lie(answer.bytes.at(-1)!, answer.written);
      let done = 0;
      for (const [at, length] of writable) {
        this.memory.set(answer.bytes.subarray(done, done + length), at);
        done += length;
      }
      const [at, length] = writable.at(-1)!;
      this.memory[at + length - 1] = status;
      this.queue.use(written, cookie);
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

Deno.test("operations that the driver does not know, or the device, are unsupported", () => {
  for (const operation of [BlockOperation.setWriteCache, 99, 2 ** 32 - 1]) {
    assertEquals(new Bench().run(operation), [1, Status.unsupported, 0]);
  }
  const { discard, writeZeroes, secureErase, lifetime, zoneReport, zoneAppend } = BlockOperation;
  for (
    const operation of [discard, writeZeroes, secureErase, lifetime, zoneReport, zoneAppend]
  ) {
    const bench = new Bench(wire.F_FLUSH);
    assertEquals(bench.run(operation, 0, 512, { sectors: 1 }), [1, Status.unsupported, 0]);
    assertEquals(bench.types, []);
  }
});

Deno.test("a request moves no more than a slot holds", () => {
  assertEquals(new Bench().run(read, 0, 2 ** 31), [1, Status.ok, SLOT_BYTES]);
});

Deno.test("positions are 64 bits wide", () => {
  const sectors: number[] = [];
  const options = {
    capacity: 2 ** 44,
    fail: (_: number, sector: number) => void sectors.push(sector),
  };
  const bench = new Bench(0n, options);
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
  Deno.test(`status ${status} of the device ends a request as ${outcome} (D-85) #blk:D-85 #blk:UNSUPP`, () => {
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
  bench.queue.room = 1;
  for (const slot of [0, 1, 2]) bench.submit(slot, read, slot, 512);
  for (let i = 0; i < 4; i++) bench.rung();
  assertEquals(bench.completed.map(([slot]) => slot), [0, 1, 2]);
});

const ALL = wire.F_FLUSH | wire.F_DISCARD | wire.F_WRITE_ZEROES | wire.F_SECURE_ERASE |
  wire.F_LIFETIME | wire.F_CONFIG_WCE;

Deno.test("stretches of the disk are discarded, zeroed and erased #blk:DISCARD #blk:WRITE_ZEROES #blk:SECURE_ERASE", () => {
  const { discard, writeZeroes, secureErase } = BlockOperation;
  const bench = new Bench(ALL, { eraseAlignment: 8 });
  bench.data.fill(7, 0, 32 * 512);
  for (
    const [operation, sector, flags] of [[discard, 0, 0], [writeZeroes, 8, UNMAP], [
      secureErase,
      16,
      0,
    ]] as const
  ) {
    bench.data.fill(7, 0, 32 * 512);
    assertEquals(bench.run(write, 0, 32 * 512), [1, Status.ok, 32 * 512]);
    assertEquals(bench.run(operation, sector, 0, { sectors: 8, flags }), [1, Status.ok, 0]);
    assertEquals(bench.run(read, 0, 32 * 512), [1, Status.ok, 32 * 512]);
    const zeroes = [...bench.data.subarray(0, 32 * 512)].flatMap((byte, i) => byte ? [] : [i]);
    assertEquals([zeroes.length, zeroes[0]], [8 * 512, sector * 512]);
  }
  assertEquals(bench.driver.statistics?.().discard_sectors, 8);
});

Deno.test("what the device refuses of a stretch fails #blk:DISCARD", () => {
  const bench = new Bench(ALL);
  const { discard } = BlockOperation;
  assertEquals(bench.run(discard, 0, 0, { sectors: 8, flags: 1 })[1], Status.unsupported);
});

Deno.test("the wear of the storage is asked for #blk:LIFETIME", () => {
  const bench = new Bench(ALL, { lifetime: [1, 2, 3] });
  assertEquals(bench.run(BlockOperation.lifetime), [1, Status.ok, 6]);
  assertEquals([...bench.data.subarray(0, 6)], [1, 0, 2, 0, 3, 0]);
  bench.lie = (status) => [status, 3];
  assertEquals(bench.run(BlockOperation.lifetime)[1], Status.invalid);
});

Deno.test("what does not fit the device never reaches it #blk:RO", () => {
  const { discard, zoneAppend, zoneReset } = BlockOperation;
  const bench = new Bench(ALL | wire.F_ZONED);
  const sectors = (1 << 20) / 512;
  const wrong: [number, number, number, More?][] = [
    [read, sectors, 512],
    [write, sectors - 1, 1024],
    [read, 0, 0],
    [read, 0, 513],
    [write, 2 ** 33, 512],
    [discard, sectors - 1, 0, { sectors: 2 }],
    [discard, 0, 0, { sectors: 0 }],
    [zoneReset, sectors + 1, 0],
    [BlockOperation.zoneReport, 0, 64],
  ];
  for (const [operation, sector, length, more] of wrong) {
    assertEquals(bench.run(operation, sector, length, more), [1, Status.refused, 0]);
  }
  const readOnly = new Bench(ALL | wire.F_RO | wire.F_ZONED);
  for (const operation of [write, discard, zoneAppend, zoneReset]) {
    const end = readOnly.run(operation, 0, 512, { sectors: 1 });
    assertEquals(end, [1, Status.refused, 0]);
  }
  assertEquals(readOnly.run(read, 0, 512)[1], Status.ok);
  assertEquals([...bench.types, ...readOnly.types], [wire.T_IN]);
  assertEquals(bench.driver.statistics?.().refused, wrong.length);
});

Deno.test("after a shrink, what was cut off is not asked for (D-89) #blk:D-89", () => {
  const bench = new Bench();
  bench.driver.configured?.(offer({ capacity: 8n }).config);
  assertEquals(bench.run(read, 7, 512)[1], Status.ok);
  assertEquals(bench.run(read, 7, 1024)[1], Status.refused);
});

const ZONES = { zones: { size: 65536, conventional: 1 } };

Deno.test("zones are reported, appended to and managed #blk:ZONED", () => {
  const { zoneReport, zoneOpen, zoneClose, zoneFinish, zoneReset, zoneResetAll, zoneAppend } =
    BlockOperation;
  const bench = new Bench(ALL | wire.F_ZONED, ZONES);
  const state = (zone: number) => {
    const [, status, length] = bench.run(zoneReport, 0, 64 + 64 * 4);
    assertEquals([status, length], [Status.ok, 64 + 64 * 4]);
    return bench.data[64 + zone * 64 + wire.ZONE_STATE];
  };
  const answer = () => bench.words.get(1)![BlockWord.answer];
  assertEquals([state(0), state(1)], [wire.ZONE_NO_POINTER, wire.ZONE_EMPTY]);
  assertEquals(bench.run(zoneAppend, 128, 1024), [1, Status.ok, 1024]);
  assertEquals(bench.words.get(1)![BlockWord.sectorLow], 128);
  assertEquals(bench.run(zoneAppend, 128, 512), [1, Status.ok, 512]);
  assertEquals(bench.words.get(1)![BlockWord.sectorLow], 130);
  assertEquals(bench.run(write, 140, 512)[1], Status.failed);
  assertEquals(answer(), wire.S_ZONE_UNALIGNED_WP);
  for (
    const [operation, expected] of [
      [zoneOpen, wire.ZONE_EXPLICITLY_OPEN],
      [zoneClose, wire.ZONE_CLOSED],
      [zoneFinish, wire.ZONE_FULL],
      [zoneReset, wire.ZONE_EMPTY],
    ] as const
  ) {
    assertEquals(bench.run(operation, 128)[1], Status.ok);
    assertEquals(state(1), expected);
  }
  assertEquals(bench.run(zoneFinish, 0)[1], Status.failed);
  assertEquals(answer(), wire.S_ZONE_INVALID_CMD);
  bench.run(zoneFinish, 256);
  assertEquals(bench.run(zoneResetAll)[1], Status.ok);
  assertEquals(state(2), wire.ZONE_EMPTY);
  bench.lie = (status) => [status, 1];
  assertEquals(bench.run(zoneAppend, 128, 512)[1], Status.invalid);
});

/** A configuration with these fields, each of 32 bits. */
function limits(fields: Readonly<Record<number, number>>, features: bigint, model = 0): Offer {
  return {
    features,
    legacy: false,
    tunables: USUAL,
    queues: [256],
    config: config((view) => {
      view.setBigUint64(wire.CONFIG_CAPACITY, 100n, true);
      for (const [at, value] of Object.entries(fields)) view.setUint32(Number(at), value, true);
      view.setUint8(wire.CONFIG_ZONE_MODEL, model);
    }),
  };
}

function accepted(offer: Offer): bigint | string {
  const answer = blk.plan(offer);
  return "decline" in answer ? answer.decline : answer.features ?? 0n;
}

Deno.test("a feature whose limits are 0 is not accepted (D-90) #blk:D-90", () => {
  const features = wire.F_DISCARD | wire.F_WRITE_ZEROES | wire.F_SECURE_ERASE;
  const fields = [36, 40, 48, 52, 60, 64, 68];
  const good = Object.fromEntries(fields.map((at) => [at, 8]));
  assertEquals(accepted(limits(good, features)), features);
  for (
    const [feature, own] of [
      [wire.F_DISCARD, [36, 40]],
      [wire.F_WRITE_ZEROES, [48, 52]],
      [wire.F_SECURE_ERASE, [60, 64, 68]],
    ] as const
  ) {
    for (const at of own) {
      assertEquals(accepted(limits({ ...good, [at]: 0 }, features)), features & ~feature);
    }
  }
});

Deno.test("zones that cannot be are not used, and a disk that needs them is declined (D-90) #blk:D-90 #blk:ZONED", () => {
  const good = { 72: 128, 76: 4, 80: 8, 84: 64, 88: 4096 };
  const wrong: (readonly [number, number])[] = [
    [72, 0],
    [72, 100],
    [84, 0],
    [88, 0],
    [88, 513],
    [84, 7],
    [76, 9],
  ];
  assertEquals(accepted(limits(good, wire.F_ZONED, wire.ZONED_HM)), wire.F_ZONED);
  assertEquals(accepted(limits(good, wire.F_ZONED, wire.ZONED_HA)), wire.F_ZONED);
  assertEquals(accepted(limits(good, wire.F_ZONED, wire.ZONED_NONE)), 0n);
  assertEquals(accepted(limits(good, wire.F_ZONED, 7)), 0n);
  for (const [at, value] of wrong) {
    const fields = { ...good, [at]: value };
    assertEquals(accepted(limits(fields, wire.F_ZONED, wire.ZONED_HA)), 0n);
    const answer = accepted(limits(fields, wire.F_ZONED, wire.ZONED_HM));
    assert(String(answer).startsWith("its zones cannot be true: "), String(answer));
  }
  // A disk of such zones frees storage by resetting them.
  const both = limits({ ...good, 36: 8, 40: 8 }, wire.F_ZONED | wire.F_DISCARD, wire.ZONED_HM);
  assertEquals(accepted(both), wire.F_ZONED);
});

Deno.test("the cache is as the device says, and is switched #blk:CONFIG_WCE #blk:writeback", () => {
  const bench = new Bench(ALL);
  assertEquals([bench.properties, bench.written], [[], []]);
  const { setWriteCache } = BlockOperation;
  assertEquals(bench.control(setWriteCache, 0), [0, Status.ok, 0]);
  assertEquals(bench.written, [["writeback", 0]]);
  assertEquals(bench.properties.map(({ writeCache }) => writeCache), [false]);
  assertEquals(bench.control(setWriteCache, 1)[1], Status.ok);
  assertEquals(bench.properties.map(({ writeCache }) => writeCache), [false, true]);
  assertEquals(bench.control(setWriteCache, 2)[1], Status.unsupported);
  assertEquals(bench.control(read, 0)[1], Status.unsupported);
  const fixed = new Bench(wire.F_FLUSH);
  assertEquals(fixed.control(setWriteCache, 0)[1], Status.unsupported);
  assertEquals(fixed.written, []);
});

Deno.test("the cache can be set at the start, and the identity left alone #blk:writecache_mode #blk:no_ident", () => {
  for (const [mode, cached] of [[0, false], [1, true]] as const) {
    const bench = new Bench(ALL, {}, { writecache_mode: mode });
    assertEquals(bench.written, [["writeback", mode]]);
    assertEquals(bench.properties.at(-1)?.writeCache, cached);
  }
  assertEquals(new Bench(wire.F_FLUSH, {}, { writecache_mode: 0 }).written, []);
  const anonymous = new Bench(ALL, {}, { no_ident: true });
  assertEquals(anonymous.run(identify), [1, Status.ok, 0]);
  assertEquals(anonymous.types, []);
});

Deno.test("topology and geometry are told where they were agreed #blk:TOPOLOGY #blk:GEOMETRY", () => {
  const described = (features: bigint) => {
    const answer = blk.plan({
      features,
      legacy: false,
      tunables: USUAL,
      queues: [256],
      config: config((view) => {
        view.setUint16(wire.CONFIG_GEOMETRY, 1000, true);
        view.setUint8(wire.CONFIG_GEOMETRY + 2, 16);
        view.setUint8(wire.CONFIG_GEOMETRY + 3, 63);
        view.setUint8(wire.CONFIG_PHYSICAL_BLOCK_EXP, 3);
        view.setUint8(wire.CONFIG_ALIGNMENT_OFFSET, 1);
        view.setUint16(wire.CONFIG_MIN_IO_SIZE, 8, true);
        view.setUint32(wire.CONFIG_OPT_IO_SIZE, 128, true);
      }),
    });
    assert(!("decline" in answer));
    return answer.properties!;
  };
  const all = described(wire.F_TOPOLOGY | wire.F_GEOMETRY);
  assertEquals(
    [all.physicalBlockSize, all.alignmentOffset, all.minimumTransfer, all.bestTransfer],
    [4096, 512, 4096, 65536],
  );
  assertEquals([all.cylinders, all.heads, all.sectorsPerTrack], [1000, 16, 63]);
  const none = described(0n);
  assertEquals([none.physicalBlockSize, none.cylinders], [undefined, undefined]);
});

Deno.test("requests are counted under Linux's names #blk:statistics", () => {
  const bench = new Bench(wire.F_FLUSH, { fail: (_, sector) => sector === 3 ? 1 : undefined });
  bench.run(write, 0, 1024);
  bench.run(read, 0, 512);
  bench.run(read, 3, 512);
  bench.run(flush);
  bench.run(identify);
  const { read_ios, read_sectors, write_ios, write_sectors, flush_ios, other_ios, io_errors } =
    bench.driver.statistics!();
  assertEquals([read_ios, read_sectors, write_ios, write_sectors], [2, 1, 1, 2]);
  assertEquals([flush_ios, other_ios, io_errors], [1, 1, 1]);
});

Deno.test("a changed configuration is passed on", () => {
  const { driver } = new Bench(wire.F_FLUSH | wire.F_BLK_SIZE);
  const changed = offer({ capacity: 7n, blkSize: 4096 }).config;
  const { sectors, blockSize, readOnly, writeCache } = driver.configured?.(changed) ?? {};
  assertEquals([sectors, blockSize, readOnly, writeCache], [7, 4096, false, true]);
});
