/**
 * What an application does wrong costs the application one clear error: each method of each client, and of the kernel, is
 * called with a table of wrong arguments, in every place; and afterwards all devices are as well as before.
 *
 * @module
 */

import { BlockOperation } from "../classes/block/mod.ts";
import { mixEntropy } from "../classes/entropy/mod.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import fc from "fast-check";
import { openKernel, Status } from "../mod.ts";
import type { AnyDevice, ClassName, Device, Kernel, OpenOptions } from "../mod.ts";
import { DRIVERS, simulatedDevices } from "../drivers.ts";
import "./support/libc.ts";

const ISOLATIONS = ["inline", "process"] as const;
/** Longer than any of this takes. */
const PATIENCE = 15_000;

/** A buffer that was transferred, and a view that its buffer was shrunk away from. */
function away(): Uint8Array[] {
  const transferred = new Uint8Array(512);
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
  const buffer = new ArrayBuffer(1024, { maxByteLength: 1024 });
  const shrunk = new Uint8Array(buffer, 512, 512);
  buffer.resize(512);
  return [transferred, shrunk];
}

const LIAR = { valueOf: () => 0, toString: () => "0", length: 512 };
const THROWER = new Proxy({}, {
  get() {
    throw new Error("a proxy that throws");
  },
});
/** What is of no kind that a method takes, unless it says so. */
const NONSENSE = [null, Symbol("x"), LIAR, THROWER, () => 0] as const;

/** For each kind of argument: a usable one in general, and wrong ones. */
const KINDS = {
  integer: [...NONSENSE, "0", 1n, [0], true, NaN, -1, 0.5, -Infinity, 2 ** 60],
  bytes: [
    ...[...NONSENSE, 512, "text", [0], new Array(512).fill(0), new Uint16Array(256)],
    ...[new Uint8ClampedArray(512), new DataView(new ArrayBuffer(512)), new ArrayBuffer(512)],
    ...[Object.create(Uint8Array.prototype), ...away()],
  ],
  milliseconds: [null, "10", 1n, LIAR, NaN, -1, Infinity, 2 ** 31, 2 ** 40],
  flag: [...NONSENSE, 0, 1, "true"],
  word: [...NONSENSE, 0, "", "no such word", ["queryTaskSet"], "__proto__", "toString"],
  text: [...NONSENSE, 0, ["0"]],
  record: [null, 0, "text", true, [], () => 0],
  array: [null, 0, "text", { length: 1 }, new Set(), new Array(2 ** 32 - 1)],
  callback: [null, 0, "text", {}, undefined],
  signal: [null, 0, "text", {}, { aborted: true, addEventListener() {} }],
} as const satisfies Readonly<Record<string, readonly unknown[]>>;

type Kind = keyof typeof KINDS;

/** A method: how it is called, and of each argument its name, its kind, and what is right. */
interface Method {
  readonly name: string;
  readonly call: (...values: never[]) => unknown;
  readonly takes: readonly (readonly [name: string, kind: Kind, right: unknown])[];
}

const method = (
  name: string,
  call: (...values: never[]) => unknown,
  ...takes: Method["takes"]
): Method => ({ name, call, takes });

/** A method that takes an object: what is right, and for each wrong property its name, its kind. */
function within(
  name: string,
  call: (...values: never[]) => unknown,
  argument: string,
  right: Readonly<Record<string, unknown>>,
  properties: Readonly<Record<string, Kind>>,
): Method[] {
  return [
    method(name, call, [argument, "record", right]),
    ...Object.entries(properties).map(([property, kind]) =>
      method(
        name,
        ((value: unknown) => call({ ...right, [property]: value } as never)) as never,
        [`${argument}.${property}`, kind, right[property]],
      )
    ),
  ];
}

const where = ["offset", "integer", 0] as const;
const sector = new Uint8Array(512);
const frame = new Uint8Array(60);

function blockMethods({ client }: Device<"block">): Method[] {
  const { slots } = client;
  const length = ["length", "integer", 512] as const;
  const bytes = ["bytes", "bytes", sector] as const;
  const name = (what: string) => `BlockClient.${what}`;
  const submit = (...values: unknown[]) => {
    const slot = slots.take();
    try {
      slots.submit(slot, ...values as [number, number, number, () => void]);
    } finally {
      slots.release(slot);
    }
  };
  const stretch = (...values: unknown[]) => {
    const slot = slots.take();
    try {
      slots.submitStretch(slot, ...values as [number, number, number, number, () => void]);
    } finally {
      slots.release(slot);
    }
  };
  const operation = ["operation", "integer", BlockOperation.read] as const;
  const place = ["sector", "integer", 0] as const;
  const done = ["done", "callback", () => {}] as const;
  return [
    method(name("read"), client.read.bind(client), where, length),
    method(name("readInto"), client.readInto.bind(client), where, bytes),
    method(name("write"), client.write.bind(client), where, bytes),
    method(name("discard"), client.discard.bind(client), where, length),
    method(name("secureErase"), client.secureErase.bind(client), where, length),
    method(name("writeZeroes"), client.writeZeroes.bind(client), where, length),
    ...within(
      name("writeZeroes"),
      ((options: object) => client.writeZeroes(0, 512, options)) as never,
      "options",
      { unmap: false },
      { unmap: "flag" },
    ),
    method(name("setWriteCache"), client.setWriteCache.bind(client), ["on", "flag", true]),
    method("BlockSlots.submit", submit as never, operation, place, length, done),
    method(
      "BlockSlots.submitStretch",
      stretch as never,
      operation,
      place,
      ["sectors", "integer", 1],
      ["flags", "integer", 0],
      done,
    ),
    method("slots.wait", slots.wait.bind(slots), ["timeout", "milliseconds", 0]),
  ];
}

function zoneMethods({ client }: Device<"block">): Method[] {
  const zones = client.zones!;
  const start = ["start", "integer", 0] as const;
  const bytes = ["bytes", "bytes", sector] as const;
  return [
    ...(["open", "close", "finish", "reset"] as const).map((name) =>
      method(`BlockZones.${name}`, zones[name].bind(zones), start)
    ),
    method("BlockZones.append", zones.append.bind(zones), start, bytes),
    method("BlockZones.report", zones.report.bind(zones), where),
  ];
}

function netMethods({ client }: Device<"network">): Method[] {
  const { slots } = client;
  const name = (what: string) => `NetClient.${what}`;
  const bytes = ["frame", "bytes", frame] as const;
  const mac = ["mac", "bytes", client.mac] as const;
  const pair = ["pair", "integer", 0] as const;
  const kind = ["kind", "word", "receive"] as const;
  const limits = { frames: 1, microseconds: 1 };
  const numbers = { frames: "integer", microseconds: "integer" } as const;
  const checksum = { start: 20, offset: 6 };
  const segmentation = { type: "tcp4", size: 100, headers: 54, ecn: false };
  const submit = (...values: unknown[]) => {
    const slot = slots.take();
    try {
      slots.submit(slot, ...values as [number, () => void]);
    } finally {
      slots.release(slot);
    }
  };
  const offload = (where: string, send: (offload: never) => unknown) => [
    ...within(where, send, "offload", { checksum, segmentation }, {
      checksum: "record",
      segmentation: "record",
    }),
    ...within(
      where,
      ((checksum: object) => send({ checksum } as never)) as never,
      "offload.checksum",
      checksum,
      { start: "integer", offset: "integer" },
    ),
    ...within(
      where,
      ((segmentation: object) => send({ checksum, segmentation } as never)) as never,
      "offload.segmentation",
      segmentation,
      { type: "word", size: "integer", headers: "integer", ecn: "flag" },
    ),
  ];
  const { filter, steering, coalescing } = client;
  return [
    method(name("frames"), client.frames.bind(client), ["capacity", "integer", 1]),
    method(name("send"), client.send.bind(client), bytes),
    method(name("trySend"), client.trySend.bind(client), bytes),
    ...offload(name("send"), (offload) => client.send(frame, offload)),
    ...offload(name("trySend"), (offload) => client.trySend(frame, offload)),
    ...offload("NetSlots.submit", (offload) => submit(60, () => {}, offload)),
    method("NetFilter.setPromiscuous", filter.setPromiscuous.bind(filter), ["on", "flag", true]),
    method("NetFilter.setAllMulticast", filter.setAllMulticast.bind(filter), [
      "on",
      "flag",
      true,
    ]),
    ...within("NetFilter.setReceiveMode", filter.setReceiveMode.bind(filter), "mode", {}, {
      allUnicast: "flag",
      noMulticast: "flag",
      noUnicast: "flag",
      noBroadcast: "flag",
    }),
    method("NetFilter.setMacTable", filter.setMacTable.bind(filter), ["addresses", "array", []]),
    method(
      "NetFilter.setMacTable",
      ((mac: Uint8Array) => filter.setMacTable([client.mac, mac])) as never,
      ["addresses[1]", "bytes", client.mac],
    ),
    method(name("setMac"), client.setMac.bind(client), mac),
    method("NetFilter.addVlan", filter.addVlan.bind(filter), ["id", "integer", 1]),
    method("NetFilter.removeVlan", filter.removeVlan.bind(filter), ["id", "integer", 1]),
    method("NetSteering.setQueuePairs", steering.setQueuePairs.bind(steering), [
      "pairs",
      "integer",
      1,
    ]),
    ...within(
      "NetSteering.setRss",
      steering.setRss.bind(steering),
      "options",
      { types: 0, table: [0] },
      {
        types: "integer",
        table: "array",
        unclassified: "integer",
        transmitPairs: "integer",
        key: "bytes",
      },
    ),
    method(
      "NetSteering.setHash",
      steering.setHash.bind(steering),
      ["types", "integer", 0],
      ["key", "bytes", new Uint8Array(0)],
    ),
    method("NetSteering.setHashTunnels", steering.setHashTunnels.bind(steering), [
      "types",
      "integer",
      0,
    ]),
    ...within(name("setOffloads"), client.setOffloads.bind(client), "wanted", {}, {
      checksum: "flag",
      tcp4: "flag",
    }),
    ...within("NetCoalescing.set", coalescing.set.bind(coalescing), "wanted", {}, {
      receive: "record",
      transmit: "record",
    }),
    method(
      "NetCoalescing.setQueue",
      coalescing.setQueue.bind(coalescing),
      pair,
      kind,
      ["coalescing", "record", limits],
    ),
    ...within(
      "NetCoalescing.setQueue",
      ((value: never) => coalescing.setQueue(0, "receive", value)) as never,
      "coalescing",
      limits,
      numbers,
    ),
    method("NetCoalescing.queue", coalescing.queue.bind(coalescing), pair, kind),
    method(
      "NetSlots.submit",
      submit as never,
      ["length", "integer", 60],
      ["done", "callback", () => {}],
    ),
    method("slots.wait", slots.wait.bind(slots), ["timeout", "milliseconds", 0]),
    method(
      "NetReceiver.drain",
      ((take: never, most: number) => {
        using receiver = slots.receive();
        return receiver.drain(take, most);
      }) as never,
      ["take", "callback", () => {}],
      ["most", "integer", 0],
    ),
  ];
}

function consoleMethods({ client }: Device<"console">): Method[] {
  const port = client.port(0)!;
  const timeout = ["timeout", "milliseconds", 0] as const;
  return [
    method("ConsoleClient.announced", client.announced.bind(client), timeout),
    method("ConsoleClient.find", ((timeout: number) => client.find(99, timeout)) as never, timeout),
    method("ConsoleClient.emergencyWrite", client.emergencyWrite.bind(client), [
      "byte",
      "integer",
      65,
    ]),
    method("ConsolePort.write", port.write.bind(port), ["bytes", "bytes", sector]),
    method("ConsolePort.read", port.read.bind(port), ["signal", "signal", undefined]),
  ];
}

function scsiMethods({ client }: Device<"scsi">): Method[] {
  const name = (what: string) => `ScsiClient.${what}`;
  const unit = { target: 0, lun: 0 };
  const parts = { target: "integer", lun: "integer" } as const;
  const cdb = new Uint8Array(6);
  const calls: Record<string, (address: never) => unknown> = {
    inquiry: (address) => client.inquiry(address),
    vpd: (address) => client.vpd(address, 0),
    mode: (address) => client.mode(address, 8),
    disk: (address) => client.disk(address),
    ready: (address) => client.ready(address),
    execute: (address) => client.execute(address, cdb),
    manage: (address) => client.manage("queryTaskSet", address),
    notifications: (address) => client.notifications(address, 0),
    subscribe: (address) => client.subscribe(address, 0),
  };
  return [
    ...Object.entries(calls).flatMap(([what, call]) =>
      within(name(what), call, "address", unit, parts)
    ),
    method(
      name("timeout"),
      ((value: number) => client.timeout = value) as never,
      ["milliseconds", "milliseconds", 10_000],
    ),
    method(name("vpd"), ((page: number) => client.vpd(unit, page)) as never, [
      "page",
      "integer",
      0,
    ]),
    method(name("mode"), ((page: number) => client.mode(unit, page)) as never, [
      "page",
      "integer",
      8,
    ]),
    method(name("manage"), ((what: never) => client.manage(what, unit)) as never, [
      "what",
      "word",
      "queryTaskSet",
    ]),
    ...(["notifications", "subscribe"] as const).map((what) =>
      method(name(what), ((wanted: number) => client[what](unit, wanted)) as never, [
        "wanted",
        "integer",
        0,
      ])
    ),
    method(name("execute"), ((cdb: never) => client.execute(unit, cdb)) as never, [
      "cdb",
      "bytes",
      cdb,
    ]),
    ...within(
      name("execute"),
      ((options: object) => client.execute(unit, cdb, options)) as never,
      "options",
      {},
      {
        out: "bytes",
        into: "bytes",
        outProtection: "bytes",
        inBytes: "integer",
        inProtection: "integer",
        timeout: "milliseconds",
        order: "word",
        repeatable: "flag",
        signal: "signal",
      },
    ),
  ];
}

async function scsiDiskMethods({ client }: Device<"scsi">): Promise<Method[]> {
  const disk = await client.disk({ target: 0, lun: 0 });
  const name = (what: string) => `ScsiDisk.${what}`;
  const length = ["length", "integer", 512] as const;
  const bytes = ["bytes", "bytes", sector] as const;
  return [
    method(name("read"), disk.read.bind(disk), where, length),
    method(name("readInto"), disk.readInto.bind(disk), where, bytes),
    method(name("write"), disk.write.bind(disk), where, bytes),
    method(name("discard"), disk.discard.bind(disk), where, length),
    method(name("writeZeroes"), disk.writeZeroes.bind(disk), where, length),
    ...within(
      name("writeZeroes"),
      ((options: object) => disk.writeZeroes(0, 512, options)) as never,
      "options",
      {},
      { unmap: "flag" },
    ),
    method(name("readProtected"), disk.readProtected.bind(disk), where, length),
    method(name("writeProtected"), disk.writeProtected.bind(disk), where, bytes),
    method(name("load"), disk.load.bind(disk), ["load", "flag", true]),
  ];
}

function otherMethods(devices: Devices, kernel: Kernel): Method[] {
  const { client: entropy } = devices.entropy;
  const { client: balloon } = devices.balloon;
  const { loop } = kernel;
  return [
    method("EntropyClient.read", entropy.read.bind(entropy), ["length", "integer", 1]),
    method("EntropyClient.readInto", entropy.readInto.bind(entropy), ["bytes", "bytes", sector]),
    method("mixEntropy", mixEntropy as never, ["sources", "array", [entropy]], [
      "options",
      "record",
      {},
    ]),
    method("BalloonClient.reclaim", balloon.reclaim.bind(balloon), ["pages", "integer", 0]),
    method(
      "BalloonClient.floor",
      ((pages: number) => balloon.floor = pages) as never,
      ["pages", "integer", balloon.floor],
    ),
    method("BalloonClient.changes", balloon.changes.bind(balloon), [
      "signal",
      "signal",
      undefined,
    ]),
    method("BalloonClient.settled", balloon.settled.bind(balloon), [
      "signal",
      "signal",
      undefined,
    ]),
    method("Kernel.attach", kernel.attach.bind(kernel), ["address", "text", "00:1f.0"]),
    method("Kernel.attachFirst", kernel.attachFirst.bind(kernel), ["name", "word", "block"]),
    method("Loop.add", loop.add.bind(loop), ["fd", "integer", 0], [
      "handler",
      "callback",
      () => {},
    ]),
    method("Loop.remove", loop.remove.bind(loop), ["fd", "integer", 2 ** 30]),
  ];
}

type Devices = { readonly [C in ClassName]: Device<C> };

/** A kernel with a device of each class, and a disk of zones. */
async function all(options: OpenOptions): Promise<
  AsyncDisposable & { kernel: Kernel; devices: Devices; zoned: Device<"block"> }
> {
  const zones = { size: 65536, conventional: 2, mostOpen: 3, mostActive: 4, mostAppend: 32768 };
  const kernel = await openKernel({
    machine: "simulated",
    drivers: DRIVERS,
    devices: [...simulatedDevices(), new DiskModel({ capacity: 2 ** 20, zones })],
    restarts: 0,
    ...options,
  });
  const attached: AnyDevice[] = [];
  for (const { function: { address } } of kernel.nodes) attached.push(await kernel.attach(address));
  const zoned = attached.pop() as Device<"block">;
  const devices = Object.fromEntries(attached.map((device) => [device.class, device]));
  await (devices.console as Device<"console">).client.find(1);
  return {
    kernel,
    zoned,
    devices: devices as unknown as Devices,
    [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
  };
}

/** The error of a call; fails if there is none soon. */
async function errorOf(method: Method, values: readonly unknown[]): Promise<Error> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${method.name} hangs`)), PATIENCE);
  try {
    await Promise.race([method.call(...values as never[]), late.promise]);
  } catch (error) {
    return error as Error;
  } finally {
    clearTimeout(timer);
  }
  throw new Error(`${method.name} takes ${values.map((value) => Deno.inspect(value))}`);
}

/** Calls a method with everything wrong in each place. Returns how many calls that were. */
async function abuse(method: Method): Promise<number> {
  let calls = 0;
  for (const [place, [name, kind]] of method.takes.entries()) {
    for (const wrong of KINDS[kind]) {
      const values = method.takes.map(([, , right], i) => i === place ? wrong : right);
      const error = await errorOf(method, values);
      assert(error instanceof TypeError || error instanceof RangeError, String(error.stack));
      assertMatch(error.message, /wanted/);
      assert(
        error.message.includes(`the argument ${name}`) && error.message.includes(method.name),
        `${method.name}(${name}): ${error.message}`,
      );
      calls++;
    }
  }
  return calls;
}

/** Everything works: each device does something, and has all its slots. */
async function works({ devices, zoned }: { devices: Devices; zoned: Device<"block"> }) {
  const { block, network, scsi, entropy, balloon } = devices;
  for (const { client } of [block, zoned]) {
    await client.write(0, sector);
    assertEquals(await client.read(0, 512), sector);
  }
  for (const { count, take, release } of [block.client.slots, network.client.slots].map(bound)) {
    const slots = Array.from({ length: count }, take);
    assertEquals(slots.toSorted((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
    slots.forEach(release);
  }
  await network.client.send(frame);
  const disk = await scsi.client.disk({ target: 0, lun: 0 });
  // As many at a time as there can be: none of their slots is lost.
  await Promise.all(Array.from({ length: 512 }, () => disk.read(0, 512)));
  assertEquals((await entropy.client.read(1000)).length, 1000);
  await balloon.client.settled(AbortSignal.timeout(PATIENCE));
  const port = devices.console.client.port("org.virtio.echo")!;
  await port.open();
  await port.write(Uint8Array.of(1, 2, 3));
  assertEquals(await port.read(AbortSignal.timeout(PATIENCE)), Uint8Array.of(1, 2, 3));
  for (const device of [...Object.values(devices), zoned]) {
    assertEquals((await device.describe()).restarts, 0);
  }
}

function bound(slots: { count: number; take(): number; release(slot: number): void }) {
  const { count } = slots;
  return { count, take: () => slots.take(), release: (slot: number) => slots.release(slot) };
}

for (const isolation of ISOLATIONS) {
  Deno.test(`every method of every client refuses what is wrong in every place, and loses nothing (${isolation}) #core:arguments`, async () => {
    const lines: string[] = [];
    await using machine = await all({ isolation, log: (line) => lines.push(line) });
    const { kernel, devices, zoned } = machine;
    const methods = [
      ...blockMethods(devices.block),
      ...zoneMethods(zoned),
      ...netMethods(devices.network),
      ...consoleMethods(devices.console),
      ...scsiMethods(devices.scsi),
      ...await scsiDiskMethods(devices.scsi),
      ...otherMethods(devices, kernel),
    ];
    let calls = 0;
    for (const method of methods) calls += await abuse(method);
    assert(calls > 1000, `${calls} calls`);
    await works(machine);
    assertEquals(lines, []);
  });
}

Deno.test("openKernel() refuses options of the wrong kind, and numbers that cannot be #core:arguments #core:timeouts", async () => {
  const call = ((options: OpenOptions) => openKernel(options)) as never;
  const right = { machine: "simulated" };
  const methods = [
    ...within("openKernel", call, "options", right, {
      machine: "word",
      unsafeDma: "flag",
      isolation: "word",
      interrupts: "word",
      legacy: "flag",
      tunables: "record",
      requestDeadline: "milliseconds",
      watch: "milliseconds",
      restarts: "integer",
      plugins: "array",
      drivers: "array",
      devices: "array",
      qemu: "record",
      classes: "record",
    }),
    ...["options.plugins[0]", "options.drivers[0]", "options.devices[0]"].map((name) =>
      method(
        "openKernel",
        ((value: unknown) =>
          openKernel({ ...right, [name.slice(8, -3)]: [value] } as OpenOptions)) as never,
        [name, name.includes("plugins") ? "text" : "record", undefined],
      )
    ),
  ];
  for (const method of methods) await abuse(method);
  for (const without of [1, -1n, 2n ** 128n, "0"]) {
    const options = { ...right, without } as OpenOptions;
    await assertRejects(() => openKernel(options), TypeError, "options.without of openKernel");
  }
  for (const x of [1, null, {}, { open: "it" }]) {
    const options = { ...right, classes: { x } } as unknown as OpenOptions;
    await assertRejects(() => openKernel(options), TypeError, "options.classes.x");
  }
  for (const log of [1, "console", {}]) {
    const options = { ...right, log } as unknown as OpenOptions;
    await assertRejects(() => openKernel(options), TypeError, "options.log of openKernel");
  }
});

Deno.test("a view of shared memory, a part of a buffer and a subclass are bytes as any #core:bytes", async () => {
  await using machine = await all({ isolation: "inline" });
  const { client } = machine.devices.block;
  class Liar extends Uint8Array {
    override get length(): number {
      return 2 ** 31;
    }
    override subarray(): Uint8Array<ArrayBuffer> {
      throw new Error("this must not be called");
    }
  }
  const views = [
    new Uint8Array(new SharedArrayBuffer(512)),
    new Uint8Array(new ArrayBuffer(2048), 1024, 512),
    new Uint8Array(new ArrayBuffer(512, { maxByteLength: 4096 })),
    new Liar(512),
  ];
  for (const [i, view] of views.entries()) {
    Uint8Array.prototype.fill.call(view, i + 1);
    await client.write(i * 512, view);
    Uint8Array.prototype.fill.call(view, 0);
    await client.readInto(i * 512, view);
    assertEquals([view[0], view[511]], [i + 1, i + 1]);
  }
});

/** Ways to take the memory of bytes away. */
const AWAY: Readonly<Record<string, (bytes: Uint8Array<ArrayBuffer>) => void>> = {
  transferred({ buffer }) {
    structuredClone(buffer, { transfer: [buffer] });
  },
  shrunk: ({ buffer }) => buffer.resize(256),
  emptied: ({ buffer }) => buffer.resize(0),
};

for (const isolation of ISOLATIONS) {
  Deno.test(`bytes that are taken away before the end are an error, never OK, and nothing hangs (${isolation}) #core:detached`, async () => {
    await using machine = await all({ isolation });
    const { devices, zoned } = machine;
    const { client: block } = devices.block;
    const { client: scsi } = devices.scsi;
    const disk = await scsi.disk({ target: 0, lun: 0 });
    const console = devices.console.client.port("org.virtio.echo")!;
    await console.open();
    const unit = { target: 0, lun: 0 };
    const write10 = Uint8Array.of(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    const read10 = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    const large = 4 * 2 ** 20;
    const cases: Record<string, [number, (bytes: Uint8Array) => Promise<unknown>]> = {
      "BlockClient.readInto": [512, (bytes) => block.readInto(0, bytes)],
      "BlockClient.readInto, in many pieces": [large, (bytes) => block.readInto(0, bytes)],
      "BlockClient.write": [512, (bytes) => block.write(0, bytes)],
      "BlockClient.write, in many pieces": [large, (bytes) => block.write(0, bytes)],
      "BlockZones.append": [
        4096,
        (bytes) => zoned.client.zones!.append(2 * 65536, bytes),
      ],
      "EntropyClient.readInto": [65536, (bytes) => devices.entropy.client.readInto(bytes)],
      "ScsiDisk.readInto": [large, (bytes) => disk.readInto(0, bytes)],
      "ScsiDisk.write": [large, (bytes) => disk.write(0, bytes)],
      "ScsiDisk.writeProtected": [512, (bytes) => disk.writeProtected(0, bytes)],
      "ScsiClient.execute, out": [512, (out) => scsi.execute(unit, write10, { out })],
      "ScsiClient.execute, into": [512, (into) => scsi.execute(unit, read10, { into })],
      "ConsolePort.write": [65536, (bytes) => console.write(bytes)],
    };
    for (const [name, [length, call]] of Object.entries(cases)) {
      for (const [how, take] of Object.entries(AWAY)) {
        const bytes = new Uint8Array(new ArrayBuffer(length, { maxByteLength: length }));
        const method = { name: `${name}, ${how}`, call: () => call(bytes), takes: [] };
        const error = errorOf(method, []);
        take(bytes);
        const { message } = await error;
        assertMatch(message, /the buffer was transferred or resized/, method.name);
      }
    }
    while (console.readableBytes > 0) await console.read();
    await console.close();
    await works(machine);
  });
}

Deno.test("a frame that waits for a slot and is taken away is an error; the slots go on #core:detached #core:slots", async () => {
  await using machine = await all({ isolation: "inline" });
  const { client } = machine.devices.network;
  const { slots } = client;
  const taken = Array.from({ length: slots.count }, () => slots.take());
  const bytes = new Uint8Array(60);
  const sending = client.send(bytes);
  const other = client.send(frame);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  taken.forEach((slot) => slots.release(slot));
  await assertRejects(() => sending, TypeError, "transferred or resized");
  await other;
  await works(machine);
});

Deno.test("requests wait while the application holds all slots, and go on when it gives them back #core:slots", async () => {
  await using machine = await all({ isolation: "inline" });
  const { client } = machine.devices.block;
  const { slots } = client;
  const taken = Array.from({ length: slots.count }, () => slots.take());
  const reads = Array.from({ length: 300 }, () => client.read(0, 512));
  taken.forEach((slot) => slots.release(slot));
  await Promise.all(reads);
  // An application that never gives them back does not keep the end away.
  for (let slot = slots.take(); slot >= 0; slot = slots.take());
  const last = client.read(0, 512);
  const ended = assertRejects(() => last, Error, "the driver is gone");
  await machine.kernel[Symbol.asyncDispose]();
  await ended;
});

const WRONG_SLOTS = [-1, NaN, 0.5, Infinity, 4096, 2 ** 32, "0", null, undefined, [0], LIAR, 0n];

Deno.test("submit, release and data refuse a slot that is not the caller's #core:slots", async () => {
  await using machine = await all({ isolation: "inline" });
  const { block, network } = machine.devices;
  const blocks = block.client.slots;
  const frames = network.client.slots;
  const done = () => {};
  const ways: Record<string, (slot: number) => unknown> = {
    "block submit": (slot) => blocks.submit(slot, BlockOperation.read, 0, 512, done),
    "block submitStretch": (slot) =>
      blocks.submitStretch(slot, BlockOperation.discard, 0, 1, 0, done),
    "block release": (slot) => blocks.release(slot),
    "net submit": (slot) => frames.submit(slot, 60, done),
    "net release": (slot) => frames.release(slot),
  };
  const refused = (name: string, slot: unknown) => {
    try {
      ways[name]!(slot as number);
    } catch (error) {
      assert(error instanceof TypeError, String(error));
      assertMatch(error.message, /^Cannot (submit|release) slot/);
      return;
    }
    throw new Error(`${name} takes ${String(slot)}`);
  };
  for (const name of Object.keys(ways)) {
    for (const slot of WRONG_SLOTS) refused(name, slot);
    // One that was not taken.
    for (let slot = 0; slot < 4; slot++) refused(name, slot);
    // One that is in flight, and one that was given back.
    const slots = name.startsWith("block") ? blocks : frames;
    const slot = slots.take();
    const ended = Promise.withResolvers<number>();
    if (slots === blocks) {
      blocks.submit(slot, BlockOperation.read, 0, 512, (_, status) => ended.resolve(status));
    } else frames.submit(slot, 60, (_, status) => ended.resolve(status));
    refused(name, slot);
    slots.publish();
    refused(name, slot);
    assertEquals(await ended.promise, Status.ok);
    slots.release(slot);
    refused(name, slot);
  }
  for (const slot of [...WRONG_SLOTS, "map", "length"]) {
    for (const slots of [blocks, frames]) {
      let message = "";
      try {
        slots.data(slot as number);
      } catch (error) {
        message = (error as Error).message;
      }
      assertMatch(message, /^Cannot use the data of slot/);
    }
  }
  await works(machine);
});

Deno.test("whatever is done with slots in whatever order, none is lost or in two hands #core:slots", async () => {
  await using machine = await all({ isolation: "inline" });
  const { slots } = machine.devices.block.client;
  const step = fc.oneof(
    fc.constant({ do: "take" as const, slot: 0 }),
    fc.record({
      do: fc.constantFrom("submit" as const, "release" as const),
      slot: fc.integer({ min: -1, max: slots.count }),
    }),
    fc.constant({ do: "wait" as const, slot: 0 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const mine = new Set<number>();
      const flying = new Set<number>();
      const done = (slot: number) => {
        assert(flying.delete(slot));
        mine.add(slot);
      };
      const wrong: unknown[] = [];
      for (const { do: what, slot } of steps) {
        // Mostly one that could be.
        const which = slot % 3 === 0 ? slot : [...mine][0] ?? slot;
        const right = mine.has(which);
        try {
          if (what === "take") mine.add(slots.take());
          else if (what === "release") {
            slots.release(which);
            mine.delete(which);
          } else if (what === "submit") {
            slots.submit(which, BlockOperation.read, 0, 512, done);
            mine.delete(which);
            flying.add(which);
          } else {
            slots.publish();
            if (flying.size > 0) slots.wait(0);
          }
          if (what === "submit" || what === "release") assert(right, `${what} took ${which}`);
        } catch (error) {
          if (right) wrong.push(error);
        }
        assertEquals(slots.inFlight, flying.size);
      }
      assertEquals(wrong, []);
      slots.publish();
      while (slots.inFlight > 0) assert(slots.wait(PATIENCE) > 0);
      for (const slot of mine) slots.release(slot);
    }),
    { numRuns: 100 },
  );
  await works(machine);
});
