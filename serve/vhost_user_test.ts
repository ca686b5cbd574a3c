import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { descriptors } from "../tests/support/leaks.ts";
import { GUEST, until, USER, VhostMachine } from "../tests/support/vhost_user.ts";
import { clear, close, eventfd, pipe } from "../core/linux/fd.ts";
import { libc } from "../core/linux/libc.ts";
import { memoryFile } from "../core/linux/memory.ts";
import { lying } from "../simulation/hostile.ts";
import {
  type DeviceHandle,
  type DeviceModel,
  EVENT_IDX,
  IN_ORDER,
  INDIRECT_DESC,
  type Request,
  RING_PACKED,
} from "../simulation/model.ts";
import { encodeMessage } from "../core/vhost/message.ts";
import { FRONT_END } from "../core/vhost/protocol.ts";
import { type ServedDevice, type ServeOptions, serveVhostUser } from "./vhost_user.ts";

// Opened once for the whole process, so not by a test.
libc();

const ALL = RING_PACKED | IN_ORDER;

/** A device that gives back what it gets, each byte plus one; some requests it keeps for a while. */
class Echo implements DeviceModel {
  readonly id = 60;
  readonly queues = [16, 16, 16];
  readonly with = ALL;
  readonly config = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  readonly held: Request[] = [];
  /** Which requests it keeps, by their first byte. */
  keeps = (_first: number) => false;
  taken = 0;
  resets = 0;
  device: DeviceHandle | undefined;

  attach(device: DeviceHandle) {
    this.device = device;
  }

  handle(_queue: number, request: Request) {
    this.taken++;
    const [first = 0] = request.readable > 0 ? request.nextReadable(1) : [];
    if (this.keeps(first)) {
      this.held.push(request);
      return undefined;
    }
    return this.answer(request, first);
  }

  answer(request: Request, first: number): number {
    const rest = new Uint8Array(request.readable);
    request.read(rest);
    request.write(new Uint8Array([first, ...rest].map((byte) => byte + 1)));
    return request.written;
  }

  configWrite(offset: number, value: number) {
    this.config[offset] = value;
  }

  reset() {
    this.resets++;
    this.held.length = 0;
  }

  queueReset() {
    this.held.length = 0;
  }
}

/** A served device, and what it said. */
class Served implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "virtio-vhost-" });
  readonly path = `${this.folder}/socket`;
  readonly said: string[] = [];
  readonly server: ServedDevice;

  constructor(model: DeviceModel, options: ServeOptions = {}) {
    this.server = serveVhostUser(model, this.path, {
      ...options,
      log: (line) => this.said.push(line),
    });
  }

  async [Symbol.asyncDispose]() {
    await this.server[Symbol.asyncDispose]();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

const bytes = (...values: number[]) => Uint8Array.from(values);

const KINDS: readonly (readonly [name: string, features: bigint, segments: number])[] = [
  ["split", 0n, 0],
  ["split, event index", EVENT_IDX, 0],
  ["split, indirect", INDIRECT_DESC, 4],
  ["split, in order", IN_ORDER | EVENT_IDX, 0],
  ["packed", RING_PACKED, 0],
  ["packed, event index, indirect", RING_PACKED | EVENT_IDX | INDIRECT_DESC, 4],
  ["packed, in order", RING_PACKED | IN_ORDER, 0],
];

for (const [name, features, segments] of KINDS) {
  Deno.test(`vhost-user, ${name}: requests of several rings are answered #core:vhost_rings`, async () => {
    await using served = new Served(new Echo());
    using machine = new VhostMachine(served.path);
    await machine.ready(features, 3, segments);
    for (let i = 0; i < 60; i++) {
      assertEquals(await machine.request(i % 3, bytes(i, 2 * i), 8), bytes(i + 1, 2 * i + 1));
    }
    assertEquals(served.said, ["machine 1 came"]);
  });

  Deno.test(`vhost-user, ${name}: a ring that is stopped goes on where it was #core:vhost_base`, async () => {
    const model = new Echo();
    await using served = new Served(model);
    using machine = new VhostMachine(served.path);
    await machine.ready(features, 1, segments);
    let done = 0;
    for (const more of [1, 5, 16, 30]) {
      for (let i = 0; i < more; i++) await machine.request(0, bytes(1), 4);
      done += more;
      const base = await machine.stop(0);
      if (!(features & RING_PACKED)) assertEquals(base, done);
      // Put there meanwhile, it is found at the start.
      const late = machine.submit(0, bytes(7), 4);
      await machine.start(0, base);
      assertEquals(await machine.finish(0, late), bytes(8));
      done++;
    }
    assertEquals(model.taken, done);
  });

  Deno.test(`vhost-user, ${name}: requests that are out when it stops are taken again, once #core:vhost_base`, async () => {
    const model = new Echo();
    model.keeps = (first) => first >= 100;
    await using served = new Served(model);
    using machine = new VhostMachine(served.path);
    await machine.ready(features, 1, segments);
    await machine.request(0, bytes(1), 4);
    const kept = [100, 101, 102].map((first) => machine.submit(0, bytes(first), 4));
    await until("all are held", () => model.held.length === 3);
    const old = [...model.held];
    const base = await machine.stop(0);
    // Too late: it has no owner any more.
    old[0]!.complete(0);
    assertEquals(machine.drain(0).size, 1);
    await machine.start(0, base);
    await until("all are held again", () => model.held.length === 3);
    for (const [i, request] of model.held.entries()) {
      request.complete(model.answer(request, 100 + i));
    }
    for (const [i, each] of kept.entries()) {
      assertEquals(await machine.finish(0, each), bytes(101 + i));
    }
    assertEquals(await machine.request(0, bytes(5), 4), bytes(6));
  });

  Deno.test(`vhost-user, ${name}: requests that others have overtaken are not lost by a stop #core:vhost_base`, async () => {
    const model = new Echo();
    model.keeps = (first) => first >= 100;
    await using served = new Served(model);
    using machine = new VhostMachine(served.path);
    await machine.ready(features, 1, segments);
    const first = machine.submit(0, bytes(100), 4);
    await until("it is held", () => model.held.length === 1);
    const second = machine.submit(0, bytes(50), 4);
    await until("it was taken", () => model.taken === 2);
    const base = await machine.stop(0);
    await machine.start(0, base);
    await until("it is held again", () => model.held.length === 1);
    model.keeps = () => false;
    const [request] = model.held;
    request!.complete(model.answer(request!, 100));
    assertEquals(await machine.finish(0, first), bytes(101));
    assertEquals(await machine.finish(0, second), bytes(51));
    for (let i = 0; i < 40; i++) {
      assertEquals(await machine.request(0, bytes(i), 4), bytes(i + 1));
    }
  });
}

Deno.test("vhost-user: a ring that is taken up interrupts once: who left it may have ended before it could #core:vhost_base", async () => {
  await using served = new Served(new Echo());
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  const { call } = machine.rings[0]!;
  assertEquals(clear(call), false);
  await machine.request(0, bytes(1), 4);
  const base = await machine.stop(0);
  clear(call);
  await machine.start(0, base);
  await until("the interrupt", () => clear(call));
});

Deno.test("vhost-user: what was rung at a descriptor that another takes the place of is not lost #core:vhost_rings", async () => {
  await using served = new Served(new Echo());
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  const { kick } = machine.rings[0]!;
  await machine.request(0, bytes(1), 4);
  const other = eventfd();
  try {
    // Rung where it listened before; what came there is taken away, as if it had not been heard in time.
    const late = machine.submit(0, bytes(3), 4);
    clear(kick);
    await machine.tell("SET_VRING_KICK", { index: 0, none: false }, other);
    assertEquals(await machine.finish(0, late), bytes(4));
    // And where none is named any more, it looks by itself.
    await machine.tell("SET_VRING_KICK", { index: 0, none: true });
    assertEquals(await machine.request(0, bytes(5), 4), bytes(6));
  } finally {
    close(other);
  }
});

Deno.test("vhost-user: what interrupted at a descriptor that another takes the place of is told there, too #core:vhost_rings", async () => {
  await using served = new Served(new Echo());
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  const { call } = machine.rings[0]!;
  const other = eventfd();
  try {
    machine.submit(0, bytes(3), 4);
    // This one is looked at no more by the time that the other is told of.
    await until("the interrupt", () => clear(call));
    assertEquals(clear(other), false);
    await machine.tell("SET_VRING_CALL", { index: 0, none: false }, other);
    await until("the interrupt", () => clear(other));
  } finally {
    close(other);
  }
});

Deno.test("vhost-user: a disabled ring rests, and an enabled one goes on", async () => {
  const model = new Echo();
  await using served = new Served(model);
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  await machine.tell("SET_VRING_ENABLE", { index: 0, value: 0 });
  const late = machine.submit(0, bytes(1), 4);
  await machine.ask("GET_FEATURES", undefined);
  assertEquals(model.taken, 0);
  await machine.tell("SET_VRING_ENABLE", { index: 0, value: 1 });
  assertEquals(await machine.finish(0, late), bytes(2));
});

Deno.test("vhost-user: a driver that begins anew finds a device that was reset", async () => {
  const model = new Echo();
  await using served = new Served(model);
  using machine = new VhostMachine(served.path);
  await machine.ready(0n, 2);
  await machine.request(0, bytes(1), 4);
  const resets = model.resets;
  // Stopped and gone on: no reset.
  const bases = [await machine.stop(0), await machine.stop(1)];
  for (const index of [1, 0]) await machine.start(index, bases[index]);
  await machine.request(0, bytes(1), 4);
  assertEquals(model.resets, resets);
  await machine.stop(0);
  await machine.stop(1);
  machine.make(0);
  await machine.tell("SET_VRING_BASE", { index: 1, value: 0 });
  await machine.start(0);
  assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
  assertEquals(model.resets, resets + 1);
  await machine.tell("RESET_DEVICE", undefined);
  assertEquals(model.resets, resets + 2);
});

Deno.test("vhost-user: a device that cannot go on says so by its status and the error descriptor", async () => {
  const model = new Echo();
  await using served = new Served(model);
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  const error = eventfd();
  await machine.tell("SET_VRING_ERR", { index: 0, none: false }, error);
  await machine.tell("SET_STATUS", 0xfn);
  assertEquals(await machine.ask("GET_STATUS", undefined), 0xfn);
  // Its only descriptor points out of the guest.
  machine.submit(0, bytes(1), 4);
  const words = new Uint32Array(machine.memory);
  words[1] = 0x7777;
  words[5] = 0x7777;
  model.device!.needsReset("its fan is broken");
  assertEquals(await machine.ask("GET_STATUS", undefined), 0x4fn);
  assertMatch(served.said.at(-1)!, /^the device needs a reset: /);
  await machine.stop(0);
  machine.make(0);
  await machine.start(0);
  assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
  assertEquals(await machine.ask("GET_STATUS", undefined), 0xfn);
  close(error);
});

Deno.test("vhost-user: a guest that points elsewhere costs the device a reset, and no other anything #core:vhost_guests", async () => {
  const outside = [0n, BigInt(GUEST) - 1n, BigInt(GUEST) + (1n << 20n), (1n << 64n) - 1n];
  await using served = new Served(new Echo());
  for (const address of outside) {
    using machine = new VhostMachine(served.path);
    await machine.ready(0n);
    const { driver, kick } = machine.rings[0]!;
    driver.begin(0);
    driver.writable(machine.rings[0]!.layout.end, 8);
    driver.commit();
    new BigUint64Array(machine.memory)[0] = address;
    driver.publish();
    void kick;
    await until("it says so", () => served.said.some((line) => line.includes("cannot reach")));
    served.said.length = 0;
    // It still speaks.
    await machine.ask("GET_FEATURES", undefined);
  }
});

Deno.test("vhost-user: the configuration is read, written, and heard of when it changes #core:vhost_config", async () => {
  const model = new Echo();
  await using served = new Served(model);
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  const read = async (offset: number, length: number) =>
    (await machine.ask("GET_CONFIG", { offset, flags: 0, bytes: new Uint8Array(length) }))!.bytes;
  assertEquals(await read(0, 8), model.config);
  assertEquals(await read(6, 4), bytes(7, 8, 0, 0));
  assertEquals(await read(0, 256), new Uint8Array([...model.config, ...new Uint8Array(248)]));
  await machine.tell("SET_CONFIG", { offset: 2, flags: 0, bytes: bytes(9) });
  assertEquals(await read(0, 4), bytes(1, 2, 9, 4));
  await machine.listen();
  model.device!.configChanged();
  await until("the change is heard of", () => machine.heard() === 12);
  // A channel that is not read, or gone, is no reason to stop.
  for (let i = 0; i < 100_000; i++) model.device!.configChanged();
  assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
});

Deno.test("vhost-user: memory comes and goes while rings are at work #core:vhost_memory", async () => {
  const model = new Echo();
  model.keeps = (first) => first >= 100;
  await using served = new Served(model);
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  const more = memoryFile("more", 1 << 16);
  const region = { guest: 1n << 33n, user: 1n << 40n, size: 1n << 16n, offset: 0n };
  assertEquals(await machine.ask("GET_MAX_MEM_SLOTS", undefined), 32n);
  for (let i = 0; i < 50; i++) {
    await machine.tell("ADD_MEM_REG", region, more);
    assertEquals(await machine.request(0, bytes(i), 4), bytes(i + 1));
    await machine.tell("REM_MEM_REG", region);
    assertEquals(await machine.request(0, bytes(i), 4), bytes(i + 1));
    await machine.share();
  }
  // What is taken away is not written to, by a request that is out either.
  const lost = machine.submit(0, bytes(100), 4);
  await until("it is held", () => model.held.length === 1);
  await machine.tell("SET_MEM_TABLE", []);
  model.held[0]!.complete(model.answer(model.held[0]!, 100));
  assertEquals([machine.drain(0).has(lost.number), machine.bytes[lost.at]], [false, 0]);
  close(more);
});

Deno.test("vhost-user: one machine at a time, and the next when it has left #core:vhost_clients", async () => {
  await using served = new Served(new Echo());
  for (let i = 0; i < 3; i++) {
    using machine = new VhostMachine(served.path);
    await machine.ready(0n);
    using other = new VhostMachine(served.path);
    await other.hungUp();
    assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
    machine[Symbol.dispose]();
    await until("it has left", () => !served.server.connected);
    break;
  }
  assertEquals(served.said, [
    "machine 1 came",
    "machine 2 was turned away: another one uses the device",
    "machine 1 left",
  ]);
});

Deno.test("vhost-user: a machine that comes at once after another has left is not turned away #core:vhost_clients", async () => {
  await using served = new Served(new Echo());
  for (let i = 0; i < 5; i++) {
    using machine = new VhostMachine(served.path);
    await machine.ready(0n);
    assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
  }
  assertEquals(served.said.filter((line) => line.includes("turned away")), []);
});

Deno.test("vhost-user: served once, it ends with the first machine, and says why", async () => {
  for (
    const [bad, wanted] of [[false, undefined], [true, "Message 99 is not known here"]] as const
  ) {
    await using served = new Served(new Echo(), { once: true });
    const machine = new VhostMachine(served.path);
    await machine.begin(0n);
    if (bad) machine.send(new Uint8Array(new Uint32Array([99, 1, 0]).buffer));
    else machine[Symbol.dispose]();
    assertEquals(await served.server.ended, wanted);
    if (bad) machine[Symbol.dispose]();
  }
});

Deno.test("vhost-user: a device that lies tells its lie", async () => {
  await using served = new Served(lying(new Echo(), "D-46"));
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  // It claims to have written nothing.
  assertEquals(await machine.request(0, bytes(1), 4), bytes());
});

Deno.test("vhost-user: a lie about what the machine plays is refused", () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-vhost-" });
  assertThrows(
    () => serveVhostUser(lying(new Echo(), "D-01"), `${folder}/socket`),
    RangeError,
    "Cannot lie as D-01 by vhost-user: it has a capability list that leads back to itself, and",
  );
  Deno.removeSync(folder);
});

/** What a machine may say that lies, and the sentence that it costs it. */
const LIES:
  readonly (readonly [string, (machine: VhostMachine) => Promise<void> | void, RegExp])[] = [
    ["no message", (m) => m.send(bytes(...new Array(12).fill(255))), /Message 4294967295/],
    ["an unknown message", (m) => m.send(header(99, 0)), /Message 99 is not known here/],
    ["a message of a wrong size", (m) => m.send(header(5, 9)), /SET_MEM_TABLE has a payload of 9/],
    [
      "one of 4 GiB",
      (m) => m.send(header(2, 0xffffffff)),
      /SET_FEATURES has a payload of 4294967295/,
    ],
    ["a half message, and leaves", (m) => {
      m.send(header(2, 8));
      m[Symbol.dispose]();
    }, /left in the middle of a message/],
    ["a descriptor where none belongs", (m) => {
      m.send(encodeMessage(FRONT_END.GET_FEATURES, undefined), [0]);
    }, /GET_FEATURES came with 1 descriptors instead of none/],
    ["no descriptor where one belongs", (m) => {
      m.send(encodeMessage(FRONT_END.SET_VRING_CALL, { index: 0, none: false }));
    }, /SET_VRING_CALL came with 0 descriptors instead of 1/],
    ["too many descriptors", (m) => {
      m.send(encodeMessage(FRONT_END.SET_OWNER, undefined), new Array(200).fill(0));
    }, /More than 8 descriptors/],
    ["a descriptor that is no eventfd", (m) => {
      const [from, into] = pipe();
      m.send(encodeMessage(FRONT_END.SET_VRING_CALL, { index: 0, none: false }), [into]);
      close(from);
      close(into);
    }, /SET_VRING_CALL brought a descriptor that is no eventfd/],
    ["a channel that is no socket", (m) => {
      m.send(encodeMessage(FRONT_END.SET_BACKEND_REQ_FD, undefined), [m.memoryFd]);
    }, /SET_BACKEND_REQ_FD brought no socket/],
    ["features that were not offered", (m) => {
      m.send(encodeMessage(FRONT_END.SET_FEATURES, 1n << 26n));
    }, /SET_FEATURES has bits that were not offered \(0x4000000\)/],
    ["protocol features that were not offered", (m) => {
      m.send(encodeMessage(FRONT_END.SET_PROTOCOL_FEATURES, 1n << 8n));
    }, /SET_PROTOCOL_FEATURES has bits/],
    ["other features while a ring is at work", (m) => {
      m.send(encodeMessage(FRONT_END.SET_FEATURES, m.features | EVENT_IDX));
    }, /while ring 0 is at work/],
    ["a ring that does not exist", (m) => {
      m.send(encodeMessage(FRONT_END.SET_VRING_NUM, { index: 3, value: 8 }));
    }, /Ring 3 does not exist: the device has 3/],
    ["another base while a ring is at work", (m) => {
      m.send(encodeMessage(FRONT_END.SET_VRING_BASE, { index: 0, value: 8 }));
    }, /SET_VRING_BASE changes ring 0 while it is at work/],
    ["other addresses while a ring is at work", (m) => {
      m.send(encodeMessage(FRONT_END.SET_VRING_ADDR, { ...m.place(0), used: 0n }));
    }, /SET_VRING_ADDR changes ring 0/],
    ["an enabling that is neither", (m) => {
      m.send(encodeMessage(FRONT_END.SET_VRING_ENABLE, { index: 0, value: 2 }));
    }, /SET_VRING_ENABLE says 2/],
    ["a message about memory slots that overlap", (m) => {
      const region = { guest: BigInt(GUEST), user: 0n, size: 4096n, offset: 0n };
      m.send(encodeMessage(FRONT_END.ADD_MEM_REG, region), [m.memoryFd]);
    }, /overlaps that of/],
    ["a region that is not there", (m) => {
      const region = { guest: 0n, user: 0n, size: 4096n, offset: 0n };
      m.send(encodeMessage(FRONT_END.REM_MEM_REG, region));
    }, /There is no region of 4096 bytes at 0x0/],
    ["half of a region", (m) => {
      const region = { guest: BigInt(GUEST), user: BigInt(USER), size: 4096n, offset: 0n };
      m.send(encodeMessage(FRONT_END.REM_MEM_REG, region));
    }, /are a part of the region/],
    ...([
      ["that wraps", { guest: (1n << 64n) - 4096n, size: 8192n, offset: 0n }, /no machine has/],
      ["that wraps in 53 bits", { guest: (1n << 53n) - 1n, size: 4096n, offset: 0n }, /beyond all/],
      ["of 2^64 bytes", { guest: 0n, size: (1n << 64n) - 1n, offset: 0n }, /no machine has/],
      ["of no bytes", { guest: 0n, size: 0n, offset: 0n }, /is empty/],
      ["behind its file", { guest: 0n, size: 4096n, offset: 1n << 20n }, /is not in its file/],
      ["of half a page", { guest: 0n, size: 2048n, offset: 0n }, /are not whole pages/],
    ] as const).map(([name, region, sentence]) =>
      [`a region ${name}`, (m: VhostMachine) => {
        m.send(encodeMessage(FRONT_END.ADD_MEM_REG, { user: 0n, ...region }), [m.memoryFd]);
      }, sentence] as const
    ),
    ["memory that is no memory", (m) => {
      const region = { guest: 0n, user: 0n, size: 4096n, offset: 0n };
      m.send(encodeMessage(FRONT_END.ADD_MEM_REG, region), [m.fd]);
    }, /The memory is a socket: it must be a memory file/],
    ["a table with one region twice", (m) => {
      const region = { guest: 0n, user: 0n, size: 4096n, offset: 0n };
      m.send(encodeMessage(FRONT_END.SET_MEM_TABLE, [region, region]), [m.memoryFd, m.memoryFd]);
    }, /overlaps/],
    ["a ring outside of the memory", async (m) => {
      m.make(1);
      await m.tell("SET_VRING_NUM", { index: 1, value: 16 });
      await m.tell("SET_VRING_ADDR", { ...m.place(1), used: BigInt(USER) + (1n << 20n) });
      await m.tell("SET_VRING_KICK", { index: 1, none: true });
      m.send(encodeMessage(FRONT_END.SET_VRING_ENABLE, { index: 1, value: 1 }));
    }, /cannot reach 134 bytes/],
    ["a ring at an odd address", async (m) => {
      m.make(1);
      await m.tell("SET_VRING_NUM", { index: 1, value: 16 });
      await m.tell("SET_VRING_ADDR", { ...m.place(1), descriptors: BigInt(USER) + 1n });
      await m.tell("SET_VRING_KICK", { index: 1, none: true });
      m.send(encodeMessage(FRONT_END.SET_VRING_ENABLE, { index: 1, value: 1 }));
    }, /is not at a multiple of 16/],
    ["a ring of 12 entries", async (m) => {
      m.make(1);
      await m.tell("SET_VRING_NUM", { index: 1, value: 12 });
      await m.tell("SET_VRING_ADDR", m.place(1));
      await m.tell("SET_VRING_KICK", { index: 1, none: true });
      m.send(encodeMessage(FRONT_END.SET_VRING_ENABLE, { index: 1, value: 1 }));
    }, /Ring 1 cannot have 12 entries: it must be a power of two/],
    ["a ring of 2^31 entries", (m) => {
      m.send(encodeMessage(FRONT_END.SET_VRING_NUM, { index: 1, value: 2 ** 31 }));
    }, /Ring 1 cannot have 2147483648 entries/],
    ["a ring without anything", async (m) => {
      await m.tell("SET_VRING_KICK", { index: 1, none: true });
      m.send(encodeMessage(FRONT_END.SET_VRING_ENABLE, { index: 1, value: 1 }));
    }, /Ring 1 cannot start: it has no size or no addresses/],
    ["notes for too many rings", (m) => {
      const asked = { size: 0n, offset: 0n, queues: 4, queueSize: 16, padded: true };
      m.send(encodeMessage(FRONT_END.GET_INFLIGHT_FD, asked));
    }, /asks for 4 rings of 16: the device has 3/],
    ["notes while a ring is at work", (m) => {
      const notes = { size: 4096n, offset: 0n, queues: 3, queueSize: 16, padded: true };
      m.send(encodeMessage(FRONT_END.SET_INFLIGHT_FD, notes), [m.memoryFd]);
    }, /SET_INFLIGHT_FD came while ring 0 is at work/],
    ["notes without room", async (m) => {
      await m.stop(0);
      const notes = { size: 64n, offset: 0n, queues: 3, queueSize: 16, padded: true };
      m.send(encodeMessage(FRONT_END.SET_INFLIGHT_FD, notes), [m.memoryFd]);
    }, /too few for 3 rings of 16/],
    ["notes behind their file", async (m) => {
      await m.stop(0);
      const notes = { size: 4096n, offset: 1n << 20n, queues: 3, queueSize: 16, padded: true };
      m.send(encodeMessage(FRONT_END.SET_INFLIGHT_FD, notes), [m.memoryFd]);
    }, /are not whole pages/],
    ["a status of 9 bits", (m) => {
      m.send(encodeMessage(FRONT_END.SET_STATUS, 0x100n));
    }, /SET_STATUS has bits that were not offered/],
    ["questions and takes no answers", async (m) => {
      const question = encodeMessage(FRONT_END.GET_FEATURES, undefined);
      try {
        for (;;) {
          for (let i = 0; i < 100; i++) m.send(question);
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      } catch {
        // There is no room any more, or it was hung up on.
      }
    }, /takes no answers/],
  ];

function header(number: number, size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array([number, 1, size]).buffer);
}

Deno.test("vhost-user: each lie of a machine costs one sentence and that connection #core:vhost_lies", async (t) => {
  const model = new Echo();
  await using served = new Served(model);
  // What the first one opens for good.
  {
    using machine = new VhostMachine(served.path);
    await machine.ready(0n);
  }
  await until("it has left", () => !served.server.connected);
  for (const [name, tell, sentence] of LIES) {
    await t.step(name, async () => {
      const before = descriptors();
      served.said.length = 0;
      const machine = new VhostMachine(served.path);
      await machine.ready(0n);
      await tell(machine);
      await until("the machine has to leave", () => !served.server.connected);
      machine[Symbol.dispose]();
      const [came, left, ...more] = served.said;
      assertMatch(came!, /^machine \d+ came$/);
      assertMatch(left!, sentence);
      assert(left!.startsWith(came!.replace("came", "left: ")), left);
      assertEquals(more, []);
      assertEquals(descriptors(), before);
    });
  }
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
});

Deno.test("vhost-user: 10,000 hostile messages leave no descriptor and no memory #core:vhost_lies", async () => {
  await using served = new Served(new Echo());
  const numbers = Object.values(FRONT_END);
  let seed = 1;
  const random = (below: number) => {
    seed = Math.imul(seed, 1103515245) + 12345 >>> 0;
    return Math.floor(seed / 2 ** 32 * below);
  };
  const event = eventfd();
  const before = descriptors().length;
  const heap = () => Deno.memoryUsage().rss;
  let rss = 0;
  let machines = 0;
  for (let sent = 0; sent < 10_000; machines++) {
    const machine = new VhostMachine(served.path);
    const fds = [event, machine.memoryFd, machine.fd];
    try {
      for (let i = 0; i < 40; i++, sent++) {
        const { number, body } = numbers[random(numbers.length)]!;
        let size = random(300);
        for (let tries = 0; tries < 300 && !body.fits(size); tries++) size = random(300);
        const message = new Uint8Array(12 + size);
        const small = random(2) === 0;
        for (let at = 12; at < message.length; at++) {
          message[at] = random(small ? 3 : 256);
        }
        new Uint32Array(message.buffer, 0, 3).set([number, random(20) ? 9 : random(16), size]);
        machine.send(message, fds.slice(0, random(4)));
      }
    } catch {
      // It was hung up on.
    }
    machine[Symbol.dispose]();
    const left = () => served.said.filter((line) => line.includes(" left")).length;
    await until("it has left", () => left() > machines);
    if (sent < 1000) rss = heap();
  }
  await until("the last has left", () => descriptors().length === before);
  close(event);
  assert(heap() - rss < 256 << 20, `${heap() - rss} bytes more`);
  assert(
    served.said.every((line) => line.length < 300 && !line.includes("\n")),
    served.said.at(-1),
  );
  using machine = new VhostMachine(served.path);
  await machine.ready(0n);
  assertEquals(await machine.request(0, bytes(1), 4), bytes(2));
});
