import { assert, assertEquals, assertThrows } from "@std/assert";
import { ask, DriverFault } from "@virtio/deno/simulation";
import { DiskModel, type ZoneOptions } from "./model.ts";
import * as wire from "./wire.ts";

const MIB = 1 << 20;

/** A request as the driver lays it out, answered: its status and data. */
function request(
  disk: DiskModel,
  type: number,
  sector: number,
  data: Uint8Array | number = 0,
  pieceBytes = 1000,
) {
  const out = typeof data === "number" ? new Uint8Array() : data;
  const bytes = new Uint8Array(wire.HEADER_BYTES + out.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(wire.HEADER_TYPE, type, true);
  view.setBigUint64(wire.HEADER_SECTOR, BigInt(sector), true);
  bytes.set(out, wire.HEADER_BYTES);
  const room = (typeof data === "number" ? data : 0) + wire.STATUS_BYTES;
  const answer = ask(disk, bytes, room, { pieceBytes });
  assertEquals(answer?.written, room);
  return { status: answer!.bytes.at(-1), data: answer!.bytes.slice(0, -1) };
}

/** Segments as a discard or write-zeroes has them: sector, sectors, flags. */
function segments(...list: readonly (readonly [number, number, number])[]): Uint8Array {
  const bytes = new Uint8Array(list.length * wire.SEGMENT_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, [sector, sectors, flags]] of list.entries()) {
    const at = i * wire.SEGMENT_BYTES;
    view.setBigUint64(at + wire.SEGMENT_SECTOR, BigInt(sector), true);
    view.setUint32(at + wire.SEGMENT_NUM_SECTORS, sectors, true);
    view.setUint32(at + wire.SEGMENT_FLAGS, flags, true);
  }
  return bytes;
}

function pattern(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => i * 7 + (i >> 8));
}

Deno.test("DiskModel reads what was written, in whatever pieces", () => {
  for (const pieceBytes of [1, 13, 512, 1e6]) {
    const disk = new DiskModel({ capacity: MIB });
    const data = pattern(3 * 512);
    assertEquals(request(disk, wire.T_OUT, 126, data, pieceBytes).status, wire.S_OK);
    const read = request(disk, wire.T_IN, 125, 5 * 512, pieceBytes);
    assertEquals(read.status, wire.S_OK);
    assertEquals(read.data.slice(512, 4 * 512), data);
    assert(read.data.slice(0, 512).every((byte) => byte === 0));
    assertEquals(request(disk, wire.T_FLUSH, 0).status, wire.S_OK);
  }
});

Deno.test("DiskModel keeps only what was written", () => {
  const disk = new DiskModel({ capacity: 1024 ** 4 });
  assertEquals(request(disk, wire.T_OUT, 2 ** 31 - 1, pattern(512)).status, wire.S_OK);
  assertEquals(disk.allocated, 65536);
  assertEquals(request(disk, wire.T_IN, 2 ** 31 - 1, 512).data, pattern(512));
});

Deno.test("DiskModel refuses what is not on it, and parts of sectors", () => {
  const disk = new DiskModel({ capacity: MIB });
  const bad = [
    request(disk, wire.T_IN, 2048, 512),
    request(disk, wire.T_IN, 2047, 1024),
    request(disk, wire.T_IN, Number.MAX_SAFE_INTEGER, 512),
    request(disk, wire.T_IN, 0, 100),
    request(disk, wire.T_OUT, 2048, pattern(512)),
    request(disk, wire.T_OUT, 0, pattern(100)),
  ];
  assertEquals(bad.map(({ status }) => status), bad.map(() => wire.S_IOERR));
  assertEquals(disk.allocated, 0);
});

Deno.test("DiskModel does not know every type", () => {
  const disk = new DiskModel({ capacity: MIB });
  for (const type of [2, 3, 5, wire.T_GET_LIFETIME, wire.T_SECURE_ERASE, 0xffffffff]) {
    assertEquals(request(disk, type, 0, 512).status, wire.S_UNSUPP);
  }
});

Deno.test("DiskModel gives its name", () => {
  const long = new DiskModel({ capacity: MIB, serial: "a-name-of-more-than-20-characters" });
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(text(request(long, wire.T_GET_ID, 0, 20).data), "a-name-of-more-than-");
  const short = new DiskModel({ capacity: MIB, serial: "disk" });
  assertEquals(text(request(short, wire.T_GET_ID, 0, 20).data), "disk" + "\0".repeat(16));
});

Deno.test("DiskModel discards and zeroes", () => {
  const disk = new DiskModel({ capacity: MIB });
  request(disk, wire.T_OUT, 0, pattern(MIB), MIB);
  const ranges = segments([0, 128, 0], [200, 1, 0]);
  assertEquals(request(disk, wire.T_DISCARD, 0, ranges, 7).status, wire.S_OK);
  assertEquals(disk.allocated, MIB - 65536);
  const unmap = segments([300, 2, wire.UNMAP]);
  assertEquals(request(disk, wire.T_WRITE_ZEROES, 0, unmap).status, wire.S_OK);
  for (const sector of [0, 127, 200, 300, 301]) {
    assertEquals(request(disk, wire.T_IN, sector, 512).data, new Uint8Array(512));
  }
  for (const sector of [128, 199, 201, 299, 302]) {
    const expected = pattern(MIB).slice(sector * 512, sector * 512 + 512);
    assertEquals(request(disk, wire.T_IN, sector, 512).data, expected);
  }
});

Deno.test("DiskModel refuses discards that cannot be", () => {
  const disk = new DiskModel({ capacity: MIB });
  const status = (type: number, bytes: Uint8Array) => request(disk, type, 0, bytes).status;
  assertEquals(status(wire.T_DISCARD, segments([0, 1, wire.UNMAP])), wire.S_UNSUPP);
  assertEquals(status(wire.T_WRITE_ZEROES, segments([0, 1, 2])), wire.S_UNSUPP);
  assertEquals(status(wire.T_DISCARD, segments([2048, 1, 0])), wire.S_IOERR);
  assertEquals(status(wire.T_DISCARD, new Uint8Array(15)), wire.S_IOERR);
  const many = segments(...Array.from({ length: 17 }, () => [0, 1, 0] as const));
  assertEquals(status(wire.T_DISCARD, many), wire.S_IOERR);
});

Deno.test("DiskModel can be read-only", () => {
  const disk = new DiskModel({ capacity: MIB, readOnly: true });
  assert(disk.features & wire.F_RO);
  assertEquals(request(disk, wire.T_OUT, 0, pattern(512)).status, wire.S_IOERR);
  assertEquals(request(disk, wire.T_DISCARD, 0, segments([0, 1, 0])).status, wire.S_IOERR);
  assertEquals(request(disk, wire.T_IN, 0, 512).status, wire.S_OK);
});

Deno.test("DiskModel describes itself in its configuration", () => {
  const disk = new DiskModel({
    capacity: 8 * MIB,
    blockSize: 4096,
    requestQueues: 2,
    queueSize: 64,
  });
  const view = new DataView(disk.config.buffer);
  assertEquals(view.getBigUint64(wire.CONFIG_CAPACITY, true), 16384n);
  assertEquals(view.getUint32(wire.CONFIG_SEG_MAX, true), 62);
  assertEquals(view.getUint32(wire.CONFIG_BLK_SIZE, true), 4096);
  assertEquals(view.getUint16(wire.CONFIG_NUM_QUEUES, true), 2);
  assertEquals(disk.queues, [64, 64]);
  assert(disk.features & wire.F_MQ);
  assertThrows(() => new DiskModel({ capacity: 100 }), RangeError, "multiple of 512");
});

Deno.test("DiskModel switches its cache and nothing else", () => {
  const disk = new DiskModel({ capacity: MIB });
  const before = disk.config.slice();
  disk.configWrite(wire.CONFIG_CAPACITY, 0, 4);
  assertEquals(disk.config, before);
  disk.configWrite(wire.CONFIG_WRITEBACK, 0, 1);
  assertEquals(disk.config[wire.CONFIG_WRITEBACK], 0);
  disk.reset();
  assertEquals(disk.config, before);
});

Deno.test("DiskModel can be resized, and tells the driver", () => {
  const disk = new DiskModel({ capacity: MIB });
  let changes = 0;
  disk.attach({
    features: 0n,
    counters: { notifications: 0, wrongNotifications: 0 },
    configChanged: () => changes++,
    atOnce: (act) => act(),
    needsReset() {},
  });
  request(disk, wire.T_OUT, 2047, pattern(512));
  disk.resize(MIB / 2);
  assertEquals(request(disk, wire.T_IN, 2047, 512).status, wire.S_IOERR);
  disk.resize(MIB);
  assertEquals(request(disk, wire.T_IN, 2047, 512).data, new Uint8Array(512));
  assertEquals(changes, 2);
});

Deno.test("DiskModel fails where it is told to", () => {
  const disk = new DiskModel({
    capacity: MIB,
    fail: (type, sector) => type === wire.T_IN && sector === 7 ? wire.S_IOERR : undefined,
  });
  assertEquals(request(disk, wire.T_IN, 7, 512).status, wire.S_IOERR);
  assertEquals(request(disk, wire.T_IN, 8, 512).status, wire.S_OK);
});

Deno.test("DiskModel needs a header and a status", () => {
  const disk = new DiskModel({ capacity: MIB });
  assertThrows(() => ask(disk, new Uint8Array(15), 1), DriverFault);
  assertThrows(() => ask(disk, new Uint8Array(16), 0), DriverFault);
});

Deno.test("DiskModel erases beyond recovery where it is aligned, and tells its wear", () => {
  const disk = new DiskModel({ capacity: MIB, eraseAlignment: 8, lifetime: [1, 5, 11] });
  assert(disk.features & wire.F_SECURE_ERASE && disk.features & wire.F_LIFETIME);
  request(disk, wire.T_OUT, 0, pattern(16 * 512), MIB);
  const erase = (sector: number, sectors: number) =>
    request(disk, wire.T_SECURE_ERASE, 0, segments([sector, sectors, 0])).status;
  assertEquals([erase(8, 8), erase(4, 8), erase(8, 7)], [wire.S_OK, wire.S_IOERR, wire.S_IOERR]);
  const { data } = request(disk, wire.T_IN, 0, 16 * 512);
  assertEquals(data.slice(0, 8 * 512), pattern(16 * 512).slice(0, 8 * 512));
  assert(data.slice(8 * 512).every((byte) => byte === 0));
  const { data: wear } = request(disk, wire.T_GET_LIFETIME, 0, wire.LIFETIME_BYTES);
  assertEquals([...wear], [1, 0, 5, 0, 11, 0]);
});

Deno.test("DiskModel that is forgetful loses in a reset what was not flushed", () => {
  const disk = new DiskModel({ capacity: MIB, forgetful: true });
  const first = () => request(disk, wire.T_IN, 0, 512).data[1];
  request(disk, wire.T_OUT, 0, pattern(512));
  request(disk, wire.T_FLUSH, 0);
  request(disk, wire.T_OUT, 0, new Uint8Array(512).fill(1));
  request(disk, wire.T_OUT, 0, new Uint8Array(512).fill(2));
  assertEquals(first(), 2);
  disk.reset();
  assertEquals(first(), pattern(512)[1]);
  disk.configWrite(wire.CONFIG_WRITEBACK, 0, 1);
  request(disk, wire.T_OUT, 0, new Uint8Array(512).fill(3));
  disk.reset();
  assertEquals(first(), 3);
});

/** A disk of 8 zones of 8 sectors, the first one conventional. */
function zoned(options: Partial<ZoneOptions> = {}) {
  const zones = { size: 4096, conventional: 1, ...options };
  const disk = new DiskModel({ capacity: 8 * 4096, zones });
  const status = (type: number, sector: number, data?: Uint8Array | number) =>
    request(disk, type, sector, data).status;
  const write = (sector: number, sectors = 1) =>
    status(wire.T_OUT, sector, new Uint8Array(sectors * 512).fill(sector + 1));
  const state = (zone: number) => {
    const { data } = request(disk, wire.T_ZONE_REPORT, zone * 8, 128);
    const view = new DataView(data.buffer);
    assertEquals(view.getBigUint64(0, true), 1n);
    assertEquals(view.getBigUint64(64 + wire.ZONE_START, true), BigInt(zone * 8));
    return [
      view.getUint8(64 + wire.ZONE_STATE),
      Number(view.getBigUint64(64 + wire.ZONE_POINTER, true)),
    ];
  };
  return { disk, status, write, state };
}

Deno.test("DiskModel of zones takes writes at the write pointer only", () => {
  const { disk, write, state } = zoned();
  assert(!(disk.features & wire.F_DISCARD) && disk.features & wire.F_ZONED);
  assertEquals([write(3), write(0)], [wire.S_OK, wire.S_OK]);
  assertEquals(write(9), wire.S_ZONE_UNALIGNED_WP);
  assertEquals([write(8, 2), write(10), write(10)], [0, 0, wire.S_ZONE_UNALIGNED_WP]);
  assertEquals(state(1), [wire.ZONE_IMPLICITLY_OPEN, 11]);
  assertEquals(write(11, 6), wire.S_ZONE_INVALID_CMD);
  assertEquals([write(11, 5), state(1)], [wire.S_OK, [wire.ZONE_FULL, 16]]);
  assertEquals(write(8), wire.S_ZONE_INVALID_CMD);
  const aware = zoned({ hostManaged: false });
  assertEquals([aware.write(9), aware.state(1)], [wire.S_OK, [wire.ZONE_IMPLICITLY_OPEN, 10]]);
});

Deno.test("DiskModel of zones keeps the number of open and active ones", () => {
  const { status, write, state } = zoned({ mostOpen: 2, mostActive: 3 });
  assertEquals([write(8), write(16), write(24)], [0, 0, 0]);
  assertEquals(state(1)[0], wire.ZONE_CLOSED);
  assertEquals(write(32), wire.S_ZONE_ACTIVE_RESOURCE);
  for (const sector of [16, 24]) assertEquals(status(wire.T_ZONE_OPEN, sector), wire.S_OK);
  assertEquals(write(9), wire.S_ZONE_OPEN_RESOURCE);
  assertEquals(status(wire.T_ZONE_FINISH, 16), wire.S_OK);
  assertEquals([write(9), write(32)], [wire.S_OK, wire.S_OK]);
});

Deno.test("DiskModel of zones appends, and resets what was written away", () => {
  const { disk, status, write } = zoned({ mostAppend: 1024 });
  const append = (sector: number, sectors: number) => {
    const bytes = new Uint8Array(wire.HEADER_BYTES + sectors * 512).fill(7, wire.HEADER_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(wire.HEADER_TYPE, wire.T_ZONE_APPEND, true);
    view.setBigUint64(wire.HEADER_SECTOR, BigInt(sector), true);
    const answer = ask(disk, bytes, wire.APPEND_BYTES + wire.STATUS_BYTES)!;
    return [answer.bytes.at(-1), Number(new DataView(answer.bytes.buffer).getBigUint64(0, true))];
  };
  write(8, 3);
  assertEquals([append(8, 2), append(8, 1)], [[wire.S_OK, 11], [wire.S_OK, 13]]);
  for (const [sector, sectors] of [[9, 1], [0, 1], [8, 3], [64, 1]]) {
    assertEquals(append(sector!, sectors!)[0], wire.S_ZONE_INVALID_CMD);
  }
  assertEquals(request(disk, wire.T_IN, 11, 512).data[0], 7);
  assertEquals(status(wire.T_ZONE_RESET, 8), wire.S_OK);
  assertEquals(request(disk, wire.T_IN, 11, 512).data[0], 0);
  assertEquals(status(wire.T_ZONE_CLOSE, 8), wire.S_ZONE_INVALID_CMD);
  assertEquals(status(wire.T_ZONE_RESET, 0), wire.S_ZONE_INVALID_CMD);
  write(8);
  write(16);
  assertEquals(status(wire.T_ZONE_RESET_ALL, 0), wire.S_OK);
  assertEquals(disk.allocated, 65536);
  assertEquals(request(disk, wire.T_IN, 16, 512).data[0], 0);
  assertThrows(() => zoned({ size: 1536 }), RangeError, "zones of 1536 bytes");
});
