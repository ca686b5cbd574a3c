import { assert, assertEquals, fail } from "@std/assert";
import fc from "fast-check";
import type { BlockDevice, DiskSlots } from "../classes/block/protocol.ts";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { Buffers } from "./buffers.ts";
import { Bytes } from "./bytes.ts";
import { Connection } from "./connection.ts";
import { MOST_DATA } from "./export.ts";
import { nbdUri } from "./uri.ts";
import { Chunk, Cmd, CmdFlag, Errno, Opt, OPTS_MAGIC, Rep, REQUEST_MAGIC } from "./protocol.ts";

const CAPACITY = 1 << 20;

/** A disk in memory that can be told to fail. */
class MemoryDisk implements BlockDevice {
  readonly bytes = new Uint8Array(CAPACITY);
  readonly calls: string[] = [];
  readonly writeCache = true;
  blockSize = 512;
  medium = 1;
  capacity = CAPACITY;
  readOnly = false;
  canDiscard = true;
  canWriteZeroes = true;
  fail: Error | undefined;

  refresh = () => Promise.resolve();
  id = () => Promise.resolve("id");
  read = (offset: number, length: number) =>
    Promise.resolve(this.bytes.slice(offset, offset + length));
  readInto = (offset: number, into: Uint8Array) =>
    this.#do(
      "read",
      offset,
      into.length,
      () => into.set(this.bytes.subarray(offset, offset + into.length)),
    );
  write = (offset: number, bytes: Uint8Array) =>
    this.#do("write", offset, bytes.length, () => this.bytes.set(bytes, offset));
  flush = () => this.#do("flush", 0, 0, () => {});
  discard = (offset: number, length: number) =>
    this.#do("discard", offset, length, () => this.bytes.fill(0, offset, offset + length));
  writeZeroes = (offset: number, length: number, { unmap = false } = {}) =>
    this.#do(
      unmap ? "unmap" : "zero",
      offset,
      length,
      () => this.bytes.fill(0, offset, offset + length),
    );

  async #do(name: string, offset: number, length: number, act: () => void): Promise<void> {
    await Promise.resolve();
    if (this.fail) throw this.fail;
    this.calls.push(length === 0 ? name : `${name} ${offset} ${length}`);
    act();
  }
}

/** A disk that has slots, whose requests end when they are told to. */
class SlotDisk extends MemoryDisk {
  readonly slots = new Slots(this);
}

type Ended = Parameters<DiskSlots["submit"]>[4];

class Slots implements DiskSlots {
  readonly count = 4;
  readonly bytes = 4096;
  readonly free = [3, 2, 1, 0];
  published = 0;
  readonly #disk: MemoryDisk;
  readonly #data = Array.from(
    { length: this.count },
    () => new Uint8Array(new SharedArrayBuffer(this.bytes)),
  );
  readonly #submitted: { slot: number; sector: number; length: number; done: Ended }[] = [];

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  take = () => this.free.pop() ?? -1;
  data = (slot: number) => this.#data[slot]!;
  publish = () => void this.published++;

  release(slot: number): void {
    assert(!this.free.includes(slot));
    this.free.push(slot);
  }

  submit(slot: number, operation: number, sector: number, length: number, done: Ended): void {
    assertEquals([operation, this.free.includes(slot)], [0, false]);
    this.#submitted.push({ slot, sector, length, done });
  }

  get inFlight(): number {
    return this.#submitted.length;
  }

  readonly restarts = 0;
  submitStretch = () => fail("no request is about a stretch");
  wait = () => fail("the server does not block");
  busyPoll = () => fail("the server does not look by itself");

  /** Ends all requests, the last one first. */
  end(status: number = Status.ok, short = 0): void {
    for (const { slot, sector, length, done } of this.#submitted.splice(0).reverse()) {
      this.data(slot).set(this.#disk.bytes.subarray(sector * 512, sector * 512 + length));
      done(slot, status, length - short);
    }
  }
}

interface Reply {
  readonly error: number;
  readonly cookie: number;
  readonly data: Uint8Array;
  readonly type?: number;
}

/** A client before a connection: sends bytes, and takes what comes back apart. */
class Peer<Disk extends MemoryDisk = MemoryDisk> {
  readonly disk: Disk;
  readonly connection: Connection;
  /** Whether it takes nothing of what it is answered. */
  holds = false;
  #closed = false;
  #received: Uint8Array = new Uint8Array(0);

  constructor({ readOnly = false, disk = new MemoryDisk() as Disk } = {}) {
    this.disk = disk;
    this.connection = new Connection({
      disk: this.disk,
      name: "disk",
      readOnly,
      buffers: new Buffers(1 << 20),
    }, {
      ready() {},
      resume() {},
      close: () => this.#closed = true,
    });
    this.connection.start();
  }

  /** Takes all that is to be sent. */
  #pull(): void {
    while (!this.holds && this.connection.sends) {
      const bytes = this.connection.toSend().slice();
      this.#received = join(this.#received, bytes);
      this.connection.sent(bytes.length);
    }
  }

  /** Whether the connection is over. */
  get closed(): boolean {
    this.#pull();
    return this.#closed;
  }

  /** Sends bytes, in pieces of so many. Returns how many were taken. */
  send(bytes: Uint8Array, piece = 1e9): number {
    let done = 0;
    this.#pull();
    while (done < bytes.length && !this.connection.full) {
      const room = this.connection.room();
      assert(room.length > 0);
      const count = Math.min(piece, room.length, bytes.length - done);
      room.set(bytes.subarray(done, done + count));
      this.connection.received(count);
      this.#pull();
      done += count;
    }
    return done;
  }

  /** Takes the next bytes that came. */
  take(count: number): DataView {
    this.#pull();
    assert(this.#received.length >= count, `${this.#received.length} bytes came, not ${count}`);
    const bytes = this.#received.slice(0, count);
    this.#received = this.#received.subarray(count);
    return new DataView(bytes.buffer);
  }

  get left(): number {
    this.#pull();
    return this.#received.length;
  }

  option(option: number, data: Uint8Array = new Uint8Array(0)): void {
    const head = new Bytes(16 + data.length).u64(OPTS_MAGIC).u32(option).u32(data.length);
    this.send(head.put(data).bytes);
  }

  /** The next answer to an option. */
  answer(): { option: number; type: number; data: DataView } {
    const head = this.take(20);
    assertEquals(head.getBigUint64(0), 0x3e889045565a9n);
    const data = this.take(head.getUint32(16));
    return { option: head.getUint32(8), type: head.getUint32(12), data };
  }

  /** Greets. */
  greet(): this {
    this.take(18);
    this.send(new Bytes(4).u32(3).bytes);
    return this;
  }

  /** Greets, and goes on to transmission. */
  negotiate({ structured = false, contexts = false } = {}): this {
    this.greet();
    if (structured) {
      this.option(Opt.STRUCTURED_REPLY);
      assertEquals(this.answer().type, Rep.ACK);
    }
    if (contexts) {
      this.option(Opt.SET_META_CONTEXT, contextQuery("disk", "base:allocation", "x:y"));
      assertEquals([this.answer().type, this.answer().type], [Rep.META_CONTEXT, Rep.ACK]);
    }
    this.option(Opt.GO, nameOf(contexts ? "disk" : ""));
    for (let answer = this.answer(); answer.type !== Rep.ACK; answer = this.answer());
    return this;
  }

  request(type: number, offset: number, length: number, more: Partial<RequestOptions> = {}): void {
    const { flags = 0, data, cookie = 7, piece } = more;
    const head = new Bytes(28).u32(REQUEST_MAGIC).u16(flags).u16(type).u64(BigInt(cookie));
    head.u64(BigInt(offset)).u32(length);
    this.send(data ? join(head.bytes, data) : head.bytes, piece);
  }

  /** The next simple reply. */
  simple(bytes = 0): Reply {
    const view = this.take(16);
    assertEquals(view.getUint32(0), 0x67446698);
    const error = view.getUint32(4);
    const data = new Uint8Array(this.take(error === 0 ? bytes : 0).buffer);
    return { error, cookie: Number(view.getBigUint64(8)), data };
  }

  /** The next structured reply of one chunk. */
  chunk(): Reply {
    const view = this.take(20);
    assertEquals([view.getUint32(0), view.getUint16(4)], [0x668e33ef, 1]);
    const type = view.getUint16(6);
    const data = this.take(view.getUint32(16));
    const error = type === Chunk.ERROR ? data.getUint32(0) : 0;
    return {
      error,
      type,
      cookie: Number(view.getBigUint64(8)),
      data: new Uint8Array(data.buffer),
    };
  }

  /** One request, and its simple reply. */
  async ask(...request: Parameters<Peer["request"]>): Promise<number> {
    this.request(...request);
    await settled();
    const { error } = this.simple(request[0] === Cmd.READ ? request[2] : 0);
    assertEquals(this.left, 0);
    return error;
  }
}

interface RequestOptions {
  readonly flags: number;
  readonly data: Uint8Array;
  readonly cookie: number;
  readonly piece: number;
}

/** Waits until the disk has done what it was asked for. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function nameOf(name: string, ...infos: number[]): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Bytes(6 + text.length + 2 * infos.length).u32(text.length).put(text);
  bytes.u16(infos.length);
  for (const info of infos) bytes.u16(info);
  return bytes.bytes;
}

function contextQuery(name: string, ...queries: string[]): Uint8Array {
  const texts = [name, ...queries].map((text) => new TextEncoder().encode(text));
  const parts = texts.map((text) => join(new Bytes(4).u32(text.length).bytes, text));
  return join(parts[0]!, new Bytes(4).u32(queries.length).bytes, ...parts.slice(1));
}

const pattern = (length: number, seed = 1) =>
  Uint8Array.from({ length }, (_, i) => i * seed + (i >> 8));

Deno.test("a client is told size, flags and sizes of requests", () => {
  const peer = new Peer();
  const greeting = peer.take(18);
  assertEquals(new TextDecoder().decode(greeting.buffer.slice(0, 16)), "NBDMAGICIHAVEOPT");
  assertEquals(greeting.getUint16(16), 3);
  peer.send(new Bytes(4).u32(3).bytes);
  peer.option(Opt.INFO, nameOf("disk", 1, 3));
  const answers = Array.from({ length: 4 }, () => peer.answer());
  assertEquals(answers.map(({ type }) => type), [Rep.INFO, Rep.INFO, Rep.INFO, Rep.ACK]);
  const [about, name, sizes] = answers.map(({ data }) => data);
  assertEquals([about!.getUint16(0), about!.getBigUint64(2)], [0, BigInt(CAPACITY)]);
  // HAS_FLAGS, FLUSH, FUA, TRIM, ZEROES, MULTI_CONN, CACHE, FAST_ZERO; DF goes with structured replies.
  assertEquals(about!.getUint16(10), 1 | 4 | 8 | 32 | 64 | 256 | 1024 | 2048);
  assertEquals(new TextDecoder().decode(name!.buffer.slice(2)), "disk");
  assertEquals([2, 6, 10].map((at) => sizes!.getUint32(at)), [512, 4096, MOST_DATA]);
});

Deno.test("a read-only export says so, and refuses to change", async () => {
  const peer = new Peer({ readOnly: true });
  peer.take(18);
  peer.send(new Bytes(4).u32(3).bytes);
  peer.option(Opt.GO, nameOf(""));
  assertEquals(peer.answer().data.getUint16(10) & (2 | 32 | 64), 2);
  peer.take(peer.left);
  assertEquals(await peer.ask(Cmd.WRITE, 0, 512, { data: pattern(512) }), Errno.EPERM);
  assertEquals(await peer.ask(Cmd.TRIM, 0, 512), Errno.EPERM);
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 0, 512), Errno.EPERM);
  assertEquals(await peer.ask(Cmd.READ, 0, 512), 0);
  assertEquals(peer.disk.calls, ["read 0 512"]);
});

Deno.test("the old way to begin works, with and without padding", async () => {
  for (const [flags, length] of [[1, 134], [3, 10]] as const) {
    const peer = new Peer();
    peer.take(18);
    peer.send(new Bytes(4).u32(flags).bytes);
    peer.option(Opt.EXPORT_NAME, new TextEncoder().encode("disk"));
    assertEquals(peer.take(length).getBigUint64(0), BigInt(CAPACITY));
    assertEquals(await peer.ask(Cmd.READ, 512, 512), 0);
  }
  const stranger = new Peer();
  stranger.send(new Bytes(4).u32(3).bytes);
  stranger.option(Opt.EXPORT_NAME, new TextEncoder().encode("other"));
  assert(stranger.closed);
});

Deno.test("options that are unknown, wrong or too long get one answer each, and harm nothing", () => {
  const peer = new Peer();
  peer.take(18);
  peer.send(new Bytes(4).u32(3).bytes);
  const wrong: readonly (readonly [number, Uint8Array, number])[] = [
    [Opt.STARTTLS, new Uint8Array(0), Rep.ERR_UNSUP],
    [99, new Uint8Array(5), Rep.ERR_UNSUP],
    [Opt.LIST, new Uint8Array(1), Rep.ERR_INVALID],
    [Opt.GO, new Uint8Array(3), Rep.ERR_INVALID],
    [Opt.GO, new Bytes(8).u32(1000).bytes, Rep.ERR_INVALID],
    [Opt.GO, nameOf("other"), Rep.ERR_UNKNOWN],
    [Opt.STRUCTURED_REPLY, new Uint8Array(2), Rep.ERR_INVALID],
    [Opt.SET_META_CONTEXT, contextQuery("disk", "base:allocation"), Rep.ERR_INVALID],
    [Opt.INFO, new Uint8Array(40_000), Rep.ERR_TOO_BIG],
  ];
  for (const [option, data, expected] of wrong) {
    peer.option(option, data);
    assertEquals(peer.answer().type, expected);
    assertEquals(peer.left, 0);
  }
  peer.option(Opt.LIST);
  assertEquals([peer.answer().type, peer.answer().type], [Rep.SERVER, Rep.ACK]);
  peer.option(Opt.STRUCTURED_REPLY);
  assertEquals(peer.answer().type, Rep.ACK);
  peer.option(Opt.LIST_META_CONTEXT, contextQuery("disk"));
  assertEquals([peer.answer().type, peer.answer().type], [Rep.META_CONTEXT, Rep.ACK]);
  peer.option(Opt.SET_META_CONTEXT, contextQuery("disk", "qemu:dirty"));
  assertEquals(peer.answer().type, Rep.ACK);
  peer.option(Opt.ABORT);
  assertEquals([peer.answer().type, peer.closed], [Rep.ACK, true]);
});

Deno.test("a client that does not speak the protocol is shown the door", () => {
  const flags = new Peer();
  flags.send(new Bytes(4).u32(4).bytes);
  assert(flags.closed);
  const magic = new Peer();
  magic.send(new Bytes(20).u32(3).bytes);
  assert(magic.closed);
  const request = new Peer().negotiate();
  request.send(new Uint8Array(28));
  assert(request.closed);
});

Deno.test("reads and writes move bytes, in whatever pieces they come", async () => {
  for (const piece of [1, 13, 4096, 1e9]) {
    const peer = new Peer().negotiate();
    const data = pattern(70_144);
    peer.request(Cmd.WRITE, 512, data.length, { data, piece });
    await settled();
    assertEquals(peer.simple().error, 0);
    peer.request(Cmd.READ, 512, data.length, { cookie: 99 });
    await settled();
    const { cookie, data: found } = peer.simple(data.length);
    assertEquals(cookie, 99);
    assertEquals(found, data);
  }
});

Deno.test("flush, FUA, trim, zeroes and cache reach the disk", async () => {
  const peer = new Peer().negotiate();
  const { FUA, NO_HOLE } = CmdFlag;
  assertEquals(await peer.ask(Cmd.FLUSH, 0, 0), 0);
  assertEquals(await peer.ask(Cmd.WRITE, 0, 512, { flags: FUA, data: pattern(512) }), 0);
  assertEquals(await peer.ask(Cmd.TRIM, 512, 1024), 0);
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 512, 1024), 0);
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 512, 512, { flags: NO_HOLE | FUA }), 0);
  assertEquals(await peer.ask(Cmd.CACHE, 0, 512), 0);
  assertEquals(peer.disk.calls, [
    "flush",
    "write 0 512",
    "flush",
    "discard 512 1024",
    "unmap 512 1024",
    "zero 512 512",
    "flush",
  ]);
});

Deno.test("a disk that makes no zeroes gets them written, unless they must be fast", async () => {
  const peer = new Peer().negotiate();
  peer.disk.canWriteZeroes = false;
  peer.disk.bytes.fill(9);
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 512, 1024), 0);
  assertEquals([peer.disk.bytes[511], peer.disk.bytes[512], peer.disk.bytes[1536]], [9, 0, 9]);
  const fast = { flags: CmdFlag.FAST_ZERO };
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 512, 1024, fast), Errno.EINVAL);
});

Deno.test("a wrong request gets one error, and the next one is served #nbd:errors", async () => {
  const peer = new Peer().negotiate();
  const data = pattern(512);
  const wrong: readonly (readonly [Parameters<Peer["request"]>, number])[] = [
    [[Cmd.READ, CAPACITY, 512], Errno.EINVAL],
    [[Cmd.READ, 0, 100], Errno.EINVAL],
    [[Cmd.READ, 1, 512], Errno.EINVAL],
    [[Cmd.READ, 0, MOST_DATA + 512], Errno.EINVAL],
    [[Cmd.READ, 2 ** 52, 512], Errno.EINVAL],
    [[Cmd.READ, 0, 512, { flags: 0x8000 }], Errno.EINVAL],
    [[Cmd.WRITE, CAPACITY - 512, 1024, { data: pattern(1024) }], Errno.ENOSPC],
    [[Cmd.WRITE, 100, 512, { data }], Errno.EINVAL],
    [[Cmd.WRITE_ZEROES, 0, 2 * CAPACITY], Errno.ENOSPC],
    [[Cmd.TRIM, 0, 2 * CAPACITY], Errno.EINVAL],
    [[Cmd.BLOCK_STATUS, 0, 512], Errno.EINVAL],
    [[8, 0, 512], Errno.EINVAL],
    [[77, 0, 512], Errno.EINVAL],
  ];
  for (const [request, expected] of wrong) {
    assertEquals(await peer.ask(...request), expected, JSON.stringify(request));
    assertEquals(await peer.ask(Cmd.READ, 0, 512), 0);
  }
  assert(!peer.closed);
});

Deno.test("a write that is too long is told when all of it has come #nbd:payload_limit", async () => {
  const peer = new Peer().negotiate();
  const length = MOST_DATA + 512;
  peer.request(Cmd.WRITE, 0, length, { data: new Uint8Array(length - 1) });
  await settled();
  assertEquals(peer.left, 0);
  peer.send(new Uint8Array(1));
  await settled();
  assertEquals(peer.simple().error, Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.READ, 0, 512), 0);
});

Deno.test("an option that is too long is answered when all of it has come #nbd:long_option", () => {
  const long = new Uint8Array(40_000);
  const answers = [
    [Opt.GO, Rep.ERR_TOO_BIG, false],
    [Opt.SET_META_CONTEXT, Rep.ERR_TOO_BIG, false],
    [99, Rep.ERR_UNSUP, false],
    [Opt.ABORT, Rep.ACK, true],
    [Opt.EXPORT_NAME, undefined, true],
  ] as const;
  for (const [option, answer, closed] of answers) {
    const peer = new Peer().greet();
    peer.send(new Bytes(16).u64(OPTS_MAGIC).u32(option).u32(long.length).bytes);
    peer.send(long.subarray(1));
    assertEquals([peer.left, peer.closed], [0, false]);
    peer.send(new Uint8Array(1));
    if (answer !== undefined) assertEquals(peer.answer().type, answer);
    assertEquals([peer.left, peer.closed], [0, closed]);
  }
});

Deno.test("strings have up to 4096 bytes, of UTF-8 and without NUL #nbd:long_name", () => {
  const name = (bytes: Uint8Array) =>
    join(new Bytes(4).u32(bytes.length).bytes, bytes, new Uint8Array(2));
  const text = (text: string) => new TextEncoder().encode(text);
  const peer = new Peer().greet();
  for (const unknown of ["x".repeat(4096), "é".repeat(2048), "\u{feff}disk", "日本", '"']) {
    peer.option(Opt.GO, name(text(unknown)));
    const { type, data } = peer.answer();
    assertEquals(type, Rep.ERR_UNKNOWN);
    assert(data.byteLength <= 4096);
    new TextDecoder("utf-8", { fatal: true }).decode(data);
  }
  for (const none of [text("x".repeat(4097)), text("di\0sk"), Uint8Array.of(0xff)]) {
    peer.option(Opt.INFO, name(none));
    assertEquals(peer.answer().type, Rep.ERR_INVALID);
    const old = new Peer().greet();
    old.option(Opt.EXPORT_NAME, none);
    assert(old.closed);
  }
  peer.option(Opt.GO, name(text("disk")));
  assertEquals(peer.answer().type, Rep.INFO);
});

Deno.test("reasons are cut where a character ends #nbd:long_name", async () => {
  const peer = new Peer().negotiate({ structured: true });
  peer.disk.fail = new Error(`${"x".repeat(4095)}é and more`);
  peer.request(Cmd.READ, 0, 512);
  await settled();
  const { error, data } = peer.chunk();
  assertEquals([error, data.length], [Errno.EIO, 6 + 4095]);
});

Deno.test("an information request is as long as it says #nbd:long_option", () => {
  const peer = new Peer().greet();
  for (const [count, there] of [[0, 1], [2, 1], [1, 0], [65535, 3]] as const) {
    const data = new Bytes(6 + 2 * there).u32(0).u16(count).bytes;
    peer.option(Opt.INFO, data);
    assertEquals(peer.answer().type, Rep.ERR_INVALID);
  }
});

Deno.test("blocks are told and held to, and those that cannot be told are not served #nbd:block_size", async () => {
  const peer = new Peer();
  peer.disk.blockSize = 4096;
  peer.disk.capacity = CAPACITY - 512;
  peer.greet().option(Opt.GO, nameOf("", 3));
  const [about, sizes] = [peer.answer(), peer.answer()].map(({ data }) => data);
  assertEquals(about!.getBigUint64(2), BigInt(CAPACITY - 4096));
  assertEquals([2, 6].map((at) => sizes!.getUint32(at)), [4096, 4096]);
  assertEquals(peer.answer().type, Rep.ACK);
  for (const command of [Cmd.READ, Cmd.TRIM, Cmd.WRITE_ZEROES]) {
    assertEquals(await peer.ask(command, 0, 512), Errno.EINVAL);
    assertEquals(await peer.ask(command, 512, 4096), Errno.EINVAL);
    assertEquals(await peer.ask(command, 4096, 8192), 0);
  }
  const large = new Peer();
  large.disk.blockSize = 131072;
  large.greet().option(Opt.GO, nameOf("", 3));
  assertEquals(large.answer().type, Rep.ERR_POLICY);
  large.option(Opt.EXPORT_NAME);
  assert(large.closed);
});

Deno.test("an extent has at least one byte #nbd:block_status", async () => {
  const peer = new Peer().negotiate({ structured: true, contexts: true });
  for (
    const [offset, length, flags, error] of [
      [0, 0, 0, Errno.EINVAL],
      [CAPACITY, 0, 0, Errno.EINVAL],
      [0, 2 * CAPACITY, 0, Errno.EINVAL],
      [512, 512, CmdFlag.REQ_ONE, 0],
      [0, CAPACITY, CmdFlag.FUA, 0],
    ] as const
  ) {
    peer.request(Cmd.BLOCK_STATUS, offset, length, { flags });
    await settled();
    const reply = peer.chunk();
    assertEquals(reply.error, error);
    if (error === 0) assertEquals(new DataView(reply.data.buffer).getUint32(4), length);
  }
});

Deno.test("contexts are those that were set last, for that name #nbd:block_status", async () => {
  const cases = [
    [[contextQuery("disk", "base:allocation")], "disk", 0],
    [[contextQuery("", "base:allocation")], "", 0],
    [[contextQuery("disk", "base:allocation")], "", Errno.EINVAL],
    [[contextQuery("disk", "base:allocation"), contextQuery("disk")], "disk", Errno.EINVAL],
    [[contextQuery("disk", "base:allocation"), new Uint8Array(3)], "disk", Errno.EINVAL],
    [[contextQuery("disk", "base:")], "disk", Errno.EINVAL],
  ] as const;
  for (const [queries, name, error] of cases) {
    const peer = new Peer().greet();
    peer.option(Opt.STRUCTURED_REPLY);
    for (const query of queries) peer.option(Opt.SET_META_CONTEXT, query);
    peer.option(Opt.GO, nameOf(name));
    peer.take(peer.left);
    peer.request(Cmd.BLOCK_STATUS, 0, 512);
    await settled();
    assertEquals(peer.chunk().error, error);
  }
  const peer = new Peer().greet();
  peer.option(Opt.STRUCTURED_REPLY);
  peer.option(Opt.LIST_META_CONTEXT, contextQuery("disk"));
  peer.answer();
  assertEquals(peer.answer().data.getUint32(0), 0);
});

Deno.test("FUA may go with every command, other flags only where they were offered #nbd:flags", async () => {
  const { FUA, DF, FAST_ZERO, NO_HOLE } = CmdFlag;
  const peer = new Peer().negotiate();
  for (const command of [Cmd.READ, Cmd.FLUSH, Cmd.TRIM, Cmd.CACHE, Cmd.WRITE_ZEROES]) {
    assertEquals(await peer.ask(command, 0, command === Cmd.FLUSH ? 0 : 512, { flags: FUA }), 0);
  }
  // One of its own, and one behind each change.
  assertEquals(peer.disk.calls.filter((call) => call === "flush").length, 3);
  assertEquals(await peer.ask(Cmd.READ, 0, 512, { flags: DF }), Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.TRIM, 0, 512, { flags: NO_HOLE }), Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 0, 512, { flags: FAST_ZERO }), 0);
  peer.disk.canDiscard = peer.disk.canWriteZeroes = false;
  assertEquals(await peer.ask(Cmd.TRIM, 0, 512), Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.WRITE_ZEROES, 0, 512, { flags: FAST_ZERO }), Errno.EINVAL);
  const structured = new Peer().greet();
  structured.option(Opt.STRUCTURED_REPLY);
  structured.answer();
  structured.option(Opt.GO, nameOf(""));
  assertEquals(structured.answer().data.getUint16(10) & 128, 128);
  structured.take(structured.left);
  structured.request(Cmd.READ, 0, 512, { flags: DF });
  await settled();
  assertEquals(structured.chunk().error, 0);
});

Deno.test("after an exchange of the medium all that a client asks for is an error #nbd:medium", async () => {
  const peer = new Peer().negotiate();
  assertEquals(await peer.ask(Cmd.READ, 0, 512), 0);
  const data = pattern(512);
  for (const medium of [2, 0]) {
    peer.disk.medium = medium;
    peer.disk.calls.length = 0;
    for (const command of [Cmd.READ, Cmd.TRIM, Cmd.CACHE, Cmd.WRITE_ZEROES]) {
      assertEquals(await peer.ask(command, 0, 512), Errno.EIO);
    }
    assertEquals(await peer.ask(Cmd.WRITE, 0, 512, { data }), Errno.EIO);
    assertEquals(await peer.ask(Cmd.FLUSH, 0, 0), Errno.EIO);
    assertEquals(peer.disk.calls, []);
  }
});

Deno.test("a disk of no bytes is one #nbd:empty", async () => {
  const peer = new Peer();
  peer.disk.capacity = 0;
  peer.negotiate();
  assertEquals(await peer.ask(Cmd.READ, 0, 512), Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.WRITE, 0, 512, { data: pattern(512) }), Errno.ENOSPC);
  assertEquals(await peer.ask(Cmd.FLUSH, 0, 0), 0);
});

Deno.test("a URI has whatever characters a name and a path have #nbd:uri", () => {
  assertEquals(nbdUri("disk", "/tmp/a.sock"), "nbd+unix:///disk?socket=/tmp/a.sock");
  assertEquals(
    nbdUri("a b/c", "/odd dir/a&b#c?=%+é.sock"),
    "nbd+unix:///a%20b%2Fc?socket=/odd%20dir/a%26b%23c%3F%3D%25%2B%C3%A9.sock",
  );
});

Deno.test("what the disk says is told as what it means #nbd:errors", async () => {
  const peer = new Peer().negotiate();
  for (
    const [error, expected] of [
      [new RequestError("x", Status.failed), Errno.EIO],
      [new RequestError("x", Status.gone), Errno.EIO],
      [new RequestError("x", Status.unsupported), Errno.EINVAL],
      [new RangeError("the device ends"), Errno.ENOSPC],
      [new TypeError("read-only"), Errno.EPERM],
      [new Error("other"), Errno.EIO],
    ] as const
  ) {
    peer.disk.fail = error;
    for (const command of [Cmd.READ, Cmd.FLUSH, Cmd.TRIM]) {
      assertEquals(await peer.ask(command, 0, command === Cmd.FLUSH ? 0 : 512), expected);
    }
  }
});

Deno.test("structured replies carry data, errors with words, and what is allocated", async () => {
  const peer = new Peer().negotiate({ structured: true, contexts: true });
  peer.disk.bytes.set(pattern(512), 1024);
  peer.request(Cmd.READ, 1024, 512);
  await settled();
  const read = peer.chunk();
  assertEquals(read.type, Chunk.OFFSET_DATA);
  assertEquals(new DataView(read.data.buffer).getBigUint64(0), 1024n);
  assertEquals(read.data.slice(8), pattern(512));
  peer.request(Cmd.READ, 0, 0);
  peer.request(Cmd.FLUSH, 0, 0);
  await settled();
  assertEquals([peer.chunk().type, peer.chunk().type], [Chunk.NONE, Chunk.NONE]);
  peer.request(Cmd.BLOCK_STATUS, 0, 4096);
  await settled();
  const { type, data } = peer.chunk();
  const view = new DataView(data.buffer);
  assertEquals([type, ...[0, 4, 8].map((at) => view.getUint32(at))], [5, 1, 4096, 0]);
  peer.request(Cmd.READ, 1, 512, { cookie: 3 });
  await settled();
  const error = peer.chunk();
  assertEquals([error.error, error.cookie], [Errno.EINVAL, 3]);
  assertEquals(
    new TextDecoder().decode(error.data.slice(6)),
    "requests are in multiples of 512 bytes",
  );
});

Deno.test("a client that does not read its replies is not listened to for ever", async () => {
  const peer = new Peer().negotiate();
  peer.holds = true;
  const one = new Bytes(28).u32(REQUEST_MAGIC).u16(0).u16(Cmd.READ).u64(1n).u64(0n).u32(1 << 20);
  const many = join(...Array.from({ length: 1000 }, () => one.bytes));
  const taken = peer.send(many);
  await settled();
  // What was received ahead waits; no more than 64 MiB are held.
  assert(peer.connection.full);
  assertEquals(peer.disk.calls.length, 64);
  assert(taken <= many.length);
  const { connection } = peer;
  while (connection.sends) connection.sent(connection.toSend().length);
  await settled();
  assertEquals(peer.disk.calls.length, 128);
});

Deno.test("reads that come together are one batch of the disk's slots, and each answer has its own data #nbd:slots", () => {
  for (const structured of [false, true]) {
    const peer = new Peer({ disk: new SlotDisk() }).negotiate({ structured });
    const { slots, bytes } = peer.disk;
    bytes.set(pattern(CAPACITY, 7));
    const heads = [0, 512, 8192].map((offset, i) =>
      new Bytes(28).u32(REQUEST_MAGIC).u16(0).u16(Cmd.READ).u64(2n ** 40n + BigInt(i))
        .u64(BigInt(offset)).u32(i === 1 ? 4096 : 1024).bytes
    );
    peer.send(join(...heads));
    assertEquals([slots.inFlight, slots.published, peer.left], [3, 1, 0]);
    slots.end();
    for (const [i, offset, length] of [[2, 8192, 1024], [1, 512, 4096], [0, 0, 1024]] as const) {
      const { error, cookie, data } = structured ? peer.chunk() : peer.simple(length);
      assertEquals([error, cookie], [0, 2 ** 40 + i]);
      if (structured) assertEquals(new DataView(data.buffer).getBigUint64(0), BigInt(offset));
      assertEquals(data.slice(structured ? 8 : 0), bytes.slice(offset, offset + length));
    }
    assertEquals([peer.left, slots.free.length, peer.disk.calls], [0, 4, []]);
  }
});

Deno.test("what fits no slot, finds none or is wrong goes the other way #nbd:slots", async () => {
  const peer = new Peer({ disk: new SlotDisk() }).negotiate();
  const { slots, calls } = peer.disk;
  assertEquals(await peer.ask(Cmd.READ, 0, 8192), 0);
  assertEquals(await peer.ask(Cmd.READ, 0, 512, { flags: CmdFlag.FUA }), 0);
  assertEquals(await peer.ask(Cmd.READ, 1, 512), Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.READ, CAPACITY, 512), Errno.EINVAL);
  assertEquals(await peer.ask(Cmd.READ, 0, 0), 0);
  slots.free.length = 0;
  assertEquals(await peer.ask(Cmd.READ, 512, 512), 0);
  assertEquals(calls, ["read 0 8192", "read 0 512", "read 512 512"]);
  assertEquals([slots.inFlight, slots.published], [0, 0]);
});

Deno.test("a read by a slot that fails is an error, and its slot is free again #nbd:slots", () => {
  const peer = new Peer({ disk: new SlotDisk() }).negotiate();
  const { slots } = peer.disk;
  const ends: readonly (readonly [() => void, number])[] = [
    [() => slots.end(Status.failed), Errno.EIO],
    [() => slots.end(Status.gone), Errno.EIO],
    [() => slots.end(Status.unsupported), Errno.EINVAL],
    [() => slots.end(Status.ok, 1), Errno.EIO],
    [() => slots.end(), 0],
    [() => (peer.disk.medium++, slots.end()), Errno.EIO],
  ];
  for (const [end, expected] of ends) {
    peer.request(Cmd.READ, 0, 512);
    assertEquals(slots.inFlight, 1);
    end();
    assertEquals([peer.simple(512).error, slots.free.length, peer.left], [expected, 4, 0]);
  }
});

Deno.test("a client that takes no answers keeps no slot from others, and one that left neither #nbd:slots", () => {
  const peer = new Peer({ disk: new SlotDisk() }).negotiate();
  const { slots, bytes } = peer.disk;
  bytes.set(pattern(CAPACITY, 3));
  peer.holds = true;
  let asked = 0;
  for (; asked < 1000 && !peer.connection.full; asked++) {
    peer.request(Cmd.READ, asked % 64 * 4096, 4096, { cookie: asked });
    slots.end();
    assertEquals(slots.free.length, 4);
  }
  assert(asked > 256 && asked < 400, `${asked} were asked`);
  peer.holds = false;
  for (let i = 0; i < asked; i++) {
    const { cookie, data } = peer.simple(4096);
    assertEquals(cookie, i);
    assertEquals(data, bytes.slice(i % 64 * 4096, i % 64 * 4096 + 4096));
  }
  assert(!peer.connection.full);
  peer.request(Cmd.READ, 0, 4096);
  peer.connection.stop();
  slots.end();
  assertEquals([slots.free.length, peer.left], [4, 0]);
});

Deno.test("a client that leaves in order gets its replies first", async () => {
  const peer = new Peer().negotiate();
  peer.request(Cmd.READ, 0, 512);
  peer.request(Cmd.DISC, 0, 0);
  assert(!peer.closed);
  await settled();
  assertEquals(peer.simple(512).error, 0);
  assert(peer.closed);
});

Deno.test("whatever comes, nothing is thrown and nothing but sane replies comes back", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, agreed) => {
      const peer = new Peer();
      if (agreed) peer.negotiate({ structured: true });
      // Most of what is random has no magic number; so give it one at times.
      if (agreed && bytes.length > 28) new DataView(bytes.buffer).setUint32(0, REQUEST_MAGIC);
      peer.send(bytes, 17);
      await settled();
    }),
    { numRuns: 200 },
  );
});
