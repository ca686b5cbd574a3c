/**
 * The console driver on a simulated device: ports that come and go, bytes with back-pressure, and a device that lies.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ConsoleModel, type ConsoleOptions, controlMessage } from "@virtio/console/model";
import * as wire from "../plugins/console/wire.ts";
import type { ConsoleClient } from "../classes/console/client.ts";
import { type ConsolePort, PORT_BYTES } from "../classes/console/port.ts";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { fitted, lie, lying, RING_PACKED, used } from "../simulation/mod.ts";
import { DRIVERS } from "../drivers.ts";
import { type Kernel, openKernel, type OpenOptions } from "../mod.ts";
import { readAll } from "./support/console.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern } from "./support/machine.ts";
import { differsAt } from "./support/qemu.ts";

const KIB = 1024;
const PORTS = {
  0: { console: true },
  1: { name: "org.test.one" },
  2: { name: "echo", echo: true },
};

/** A device at work, on its own machine. */
class Bench implements AsyncDisposable {
  readonly #kernel: Kernel;
  readonly device: Device<"console">;
  readonly model: ConsoleModel;

  constructor(kernel: Kernel, device: Device<"console">, model: ConsoleModel) {
    this.#kernel = kernel;
    this.device = device;
    this.model = model;
  }

  get client(): ConsoleClient {
    return this.device.client;
  }

  /** A port of that number, open. */
  async open(id: number): Promise<ConsolePort> {
    const port = await this.client.find(id);
    assert(port, `port ${id} is announced`);
    await port.open();
    return port;
  }

  async statistics(): Promise<Readonly<Record<string, number>>> {
    return (await this.device.describe()).statistics;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#kernel[Symbol.asyncDispose]();
  }
}

async function bench(
  options: ConsoleOptions | ConsoleModel = { ports: PORTS },
  more: OpenOptions = {},
): Promise<Bench> {
  const model = options instanceof ConsoleModel ? options : new ConsoleModel(options);
  const kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    isolation: "inline",
    drivers: DRIVERS,
    ...more,
  });
  try {
    return new Bench(kernel, await kernel.attachFirst("console"), model);
  } catch (error) {
    await kernel[Symbol.asyncDispose]();
    throw error;
  }
}

const text = (bytes: Uint8Array | null) => bytes && new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

/** Whether a promise has settled by now, and a little later. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  promise.then(() => over = true, () => over = true);
  await new Promise((resolve) => setTimeout(resolve, 30));
  return over;
}

const forms: readonly {
  readonly name: string;
  readonly more: OpenOptions;
  readonly fit?: Parameters<typeof fitted>[1];
}[] = [
  { name: "process", more: { isolation: "process" } },
  { name: "inline", more: {} },
  { name: "packed", more: {}, fit: { with: RING_PACKED } },
  { name: "legacy", more: { legacy: true }, fit: { generation: "transitional" } },
  { name: "interrupt pin", more: { interrupts: "intx" } },
];
for (const { name, more, fit = {} } of forms) {
  Deno.test(`ports are announced, opened, written, read and closed (${name}) #console:FORMS`, async () => {
    await using it = await bench(fitted(new ConsoleModel({ ports: PORTS }), fit), more);
    const ports = await it.client.announced();
    assertEquals(ports.map(({ id, name }) => [id, name]), [[0, ""], [1, "org.test.one"], [
      2,
      "echo",
    ]]);
    const echo = it.client.port("echo")!;
    assertEquals([echo.isConsole, echo.isOpen, echo.connected, echo.isGone], [
      false,
      false,
      true,
      false,
    ]);
    await echo.open();
    assert(echo.isOpen && it.model.guestOpen(2));
    const sent = pattern(300 * KIB, 1);
    const [, got] = await Promise.all([echo.write(sent), readAll(echo, sent.length)]);
    assertEquals(differsAt(got, sent), -1);
    await echo.close();
    assert(!echo.isOpen && await soon(() => !it.model.guestOpen(2)));
    await assertRejects(
      () => echo.write(bytes("x")),
      TypeError,
      "Cannot write 1 bytes to port 2 (echo): it is not open",
    );
    await assertRejects(
      () => echo.read(),
      TypeError,
      "Cannot read from port 2 (echo): it is not open",
    );
  });
}

Deno.test("what is said to the device comes in the order of the specification #console:DEVICE_READY #console:PORT_READY #console:DEVICE_ADD", async () => {
  await using it = await bench();
  await it.client.announced();
  assertEquals(it.model.heard, [
    { id: 0xffffffff, event: wire.DEVICE_READY, value: 1 },
    { id: 0, event: wire.PORT_READY, value: 1 },
    { id: 0, event: wire.PORT_OPEN, value: 1 },
    { id: 1, event: wire.PORT_READY, value: 1 },
    { id: 2, event: wire.PORT_READY, value: 1 },
  ]);
  await it.open(1);
  assertEquals(it.model.heard.at(-1), { id: 1, event: wire.PORT_OPEN, value: 1 });
});

Deno.test("a port's slots are with the device before it hears that the port is ready #console:DEVICE_ADD", async () => {
  const seen: number[] = [];
  const model = new ConsoleModel({ ports: PORTS });
  const { handle } = model;
  let lent = 0;
  model.handle = (queue, request) => {
    if (queue === wire.receiveq(1)) lent++;
    const answer = handle.call(model, queue, request);
    if (model.heard.at(-1)?.id === 1 && seen.length === 0) seen.push(lent);
    return answer;
  };
  await using it = await bench(model);
  await it.client.announced();
  assertEquals(seen, [8]);
});

Deno.test("a console is open on both sides from the start, and the device is told #console:CONSOLE_PORT", async () => {
  await using it = await bench();
  await it.client.announced();
  const port = it.client.port(0)!;
  assertEquals([port.isConsole, port.isOpen, port.connected], [true, true, true]);
  assert(it.model.guestOpen(0));
  it.model.send(0, "login: ");
  assertEquals(text(await port.read()), "login: ");
  await port.write(bytes("root\n"));
  assertEquals(text(it.model.take(0)), "root\n");
  await port.close();
  assert(!it.model.guestOpen(0));
  await port.open();
  assert(it.model.guestOpen(0));
});

Deno.test("a device without MULTIPORT has one port, a console #console:SINGLE_PORT", async () => {
  for (const isolation of ["process", "inline"] as const) {
    await using it = await bench({}, { isolation });
    const ports = await it.client.announced();
    assertEquals(
      ports.map(({ id, isConsole, isOpen, connected }) => [id, isConsole, isOpen, connected]),
      [[
        0,
        true,
        true,
        true,
      ]],
    );
    const [port] = ports;
    it.model.send(0, "hello");
    assertEquals(text(await port!.read()), "hello");
    await port!.write(bytes("world"));
    assertEquals(text(it.model.take(0)), "world");
    // The device cannot be told; on this side it is closed all the same.
    await port!.close();
    await assertRejects(() => port!.write(bytes("x")), TypeError);
    await port!.open();
    await port!.write(bytes("again"));
    assertEquals(text(it.model.take(0)), "again");
    assertEquals((await it.device.describe()).queues.length, 2);
  }
});

Deno.test("the size of the only port follows the configuration #console:SIZE", async () => {
  await using it = await bench({ size: [80, 25] });
  const [port] = await it.client.announced();
  assertEquals(port!.size, { columns: 80, rows: 25 });
  const changes = it.client.changes();
  it.model.resize(132, 50);
  assertEquals((await changes.next()).value, { type: "changed", port: port! });
  assertEquals(port!.size, { columns: 132, rows: 50 });
});

for (const rowsFirst of [false, true]) {
  Deno.test(`a new size comes by message, ${rowsFirst ? "rows" : "columns"} first #console:RESIZE`, async () => {
    const order = rowsFirst ? "rows-cols" : "cols-rows";
    await using it = await bench({ ports: PORTS, size: [100, 30], rowsFirst }, {
      tunables: { "console.resize_order": order },
    });
    await it.client.announced();
    const port = it.client.port(0)!;
    assertEquals(port.size, { columns: 100, rows: 30 });
    assertEquals(it.client.port(1)!.size, undefined);
    it.model.resize(200, 60);
    assert(await soon(() => port.size?.columns === 200));
    assertEquals(port.size, { columns: 200, rows: 60 });
  });
}

Deno.test("a size that was there before the ports is that of the first one #console:SIZE", async () => {
  const model = new ConsoleModel({ ports: { 0: {}, 1: {} }, size: [90, 20] });
  await using it = await bench(model);
  const ports = await it.client.announced();
  assertEquals(ports.map(({ size }) => size), [{ columns: 90, rows: 20 }, undefined]);
});

Deno.test("the emergency write goes past everything, at any time #console:EMERG_WRITE #console:EMERG_ANY_TIME", async () => {
  for (const ports of [undefined, PORTS]) {
    await using it = await bench(ports ? { ports } : {});
    await it.client.emergencyWrite(0x41);
    await it.client.announced();
    it.model.drain(0, false);
    const stuck = it.client.port(0)!.write(bytes("waits"));
    await it.client.emergencyWrite(0xff);
    assertEquals(it.model.emergency, [0x41, 0xff]);
    assert(!await settled(stuck));
    it.model.drain(0, true);
    await stuck;
    await assertRejects(
      () => it.client.emergencyWrite(256),
      RangeError,
      "wanted a whole number, 0 to 255",
    );
  }
  await using it = await bench({ emergencyWrite: false });
  assert(!it.client.canEmergencyWrite);
  const error = await assertRejects(
    () => it.client.emergencyWrite(1),
    RequestError,
    "the device does not offer it",
  );
  assertEquals(error.status, Status.unsupported);
});

Deno.test("ports come and go while others work #console:HOTPLUG #console:DEVICE_REMOVE #console:PORT_NAME", async () => {
  await using it = await bench();
  const changes = it.client.changes();
  await it.client.announced();
  const one = await it.open(1);
  const echo = await it.open(2);
  it.model.add(3, { name: "late" });
  const late = await it.client.find("late");
  assertEquals(late?.id, 3);
  await late!.open();
  it.model.send(1, "last words");
  it.model.drain(1, false);
  const inFlight = one.write(bytes("taken"));
  assert(await soon(() => it.model.untaken(1) === 1), "it is with the device");
  assert(!await settled(inFlight));
  const reading = late!.read();
  it.model.remove(1);
  // What the device had taken it took; what had come is read.
  await inFlight;
  assert(await soon(() => one.isGone));
  assertEquals(text(await one.read()), "last words");
  assertEquals(await one.read(), null);
  await assertRejects(
    () => one.write(bytes("x")),
    RequestError,
    "Cannot write 1 bytes to port 1 (org.test.one): the port was taken away",
  );
  await assertRejects(() => one.open(), RequestError, "the port was taken away");
  it.model.send(3, "still here");
  assertEquals(text(await reading), "still here");
  await echo.write(bytes("too"));
  assertEquals(text(await echo.read()), "too");

  // The same number again is another port.
  it.model.add(1, { name: "second" });
  const second = await it.client.find("second");
  assert(second && second !== one && !second.isOpen);
  await second.open();
  it.model.send(1, "new");
  assertEquals(text(await second.read()), "new");
  await it[Symbol.asyncDispose]();
  const seen = await Array.fromAsync(changes, ({ type, port }) => `${type} ${port.id}`);
  assertEquals(
    seen.filter((change) => !change.startsWith("changed")),
    ["added 0", "added 1", "added 2", "added 3", "removed 1", "added 1"]
      .concat(["removed 0", "removed 1", "removed 2", "removed 3"]),
  );
});

Deno.test("a port that goes and comes at once is another port #console:HOTPLUG", async () => {
  await using it = await bench();
  const before = await it.open(1);
  it.model.remove(1);
  it.model.add(1, { name: "again" });
  const after = await it.client.find("again");
  assert(before.isGone && after && after !== before && !after.isOpen);
});

for (const legacy of [false, true]) {
  const how = legacy ? "no queue can be reset" : "queues can be reset";
  Deno.test(`a port that goes with what was written to it: each write ends, once, and slots come back (${how}) #console:write_unplugged`, async () => {
    const model = fitted(new ConsoleModel({ ports: PORTS }), { generation: "transitional" });
    await using it = await bench(model, { legacy });
    await it.client.announced();
    for (let round = 0; round < 3; round++) {
      const port = await it.open(1);
      model.drain(1, false);
      const ends = [5, 4096, 8000].map((length) => port.write(pattern(length, round)));
      ends.push(port.write(pattern(8 * 4096, round))); // of which a part waits for slots
      assert(await soon(() => model.untaken(1) === 8), "they are with the device, and before it");
      assert(!await settled(Promise.any(ends)));
      model.remove(1, true);
      for (const end of ends) {
        const error = await assertRejects(() => end, RequestError, "the port was taken away");
        assert(
          error.status === Status.failed || error.status === Status.unknown,
          `status ${error.status}`,
        );
      }
      model.add(1, { name: "next" });
      const next = await it.client.find("next");
      await next!.open();
      const sent = pattern(16 * 4096, round);
      await next!.write(sent);
      assertEquals(differsAt(model.take(1), sent), -1, "nothing of the port before it");
      const transmit = (await it.device.describe()).queues.find(({ name }) => name === "transmit1");
      assertEquals(transmit?.inFlight, 0);
    }
    // Where the queue cannot be reset, all of the device is, when nothing of the queue is left.
    assertEquals((await it.device.describe()).restarts, legacy ? 3 : 0);
  });

  Deno.test(`a write that the device never takes ends when its port is closed (${how}) #console:write_closed`, async () => {
    const model = fitted(new ConsoleModel({ ports: PORTS }), { generation: "transitional" });
    await using it = await bench(model, { legacy });
    const port = await it.open(1);
    model.drain(1, false);
    const taken = port.write(bytes("later"));
    const never = port.write(pattern(16 * 4096, 1));
    assert(await soon(() => model.untaken(1) === 8));
    assert(!await settled(Promise.any([taken, never])));
    await port.close();
    await assertRejects(() => never, RequestError, "the port was closed");
    const error = await assertRejects(() => taken, RequestError, "the port was closed; whether");
    assertEquals(error.status, Status.unknown);
    // The other side reads at last, and the port is as good as new.
    model.drain(1, true);
    await port.open();
    await port.write(bytes("again"));
    assertMatch(text(model.take(1))!, /^later.*again$/s);
  });
}

Deno.test("the other side opens and closes #console:PORT_OPEN #console:FLOW_HOST", async () => {
  await using it = await bench({ ports: { 1: { name: "one", open: false } } });
  const port = await it.open(1);
  assert(!port.connected);
  const early = port.write(bytes("early "));
  const later = port.write(bytes("later"));
  assert(!await settled(early), "a write waits for the other side to open");
  it.model.open(1, true);
  await Promise.all([early, later]);
  assertEquals([text(it.model.take(1)), it.model.lost], ["early later", 0]);
  it.model.send(1, "bye");
  it.model.open(1, false);
  assert(await soon(() => !port.connected));
  assertEquals(text(await port.read()), "bye");
  assertEquals(await port.read(), null, "the end is told once");
  const next = port.read();
  const waiting = port.write(bytes("hello again"));
  assert(!await settled(next));
  it.model.open(1, true);
  it.model.send(1, "back");
  assertEquals(text(await next), "back");
  await waiting;
  assertEquals([text(it.model.take(1)), it.model.lost], ["hello again", 0]);
});

Deno.test("closing a port refuses the writes that wait for its other side #console:FLOW_HOST", async () => {
  await using it = await bench({ ports: { 1: { name: "one", open: false } } });
  const port = await it.open(1);
  const write = port.write(bytes("never"));
  const read = port.read();
  await Promise.all([
    assertRejects(
      () => write,
      RequestError,
      "Cannot write 5 bytes to port 1 (one): the port was closed",
    ),
    port.close(),
  ]);
  assertEquals(await read, null);
  await port.open();
  it.model.open(1, true);
  await port.write(bytes("now"));
  assertEquals(text(it.model.take(1)), "now");
});

Deno.test("a port that is not read holds its device back, and no other port #console:FLOW_GUEST", async () => {
  await using it = await bench();
  const one = await it.open(1);
  const echo = await it.open(2);
  const sent = pattern(3 * PORT_BYTES, 5);
  it.model.send(1, sent);
  assert(await soon(() => one.readableBytes === PORT_BYTES));
  // What was read here is room for the device once more, as soon as the driver has given it back.
  const held = () => it.model.unsent(1);
  assert(await soon(() => held() < 2 * PORT_BYTES), `${held()} wait at the device`);
  assert(held() >= 2 * PORT_BYTES - 8 * 4096, `${held()} wait at the device`);
  await echo.write(bytes("through"));
  assertEquals(text(await echo.read()), "through");
  const got = await readAll(one, sent.length);
  assertEquals(differsAt(got, sent), -1);
  assertEquals(it.model.unsent(1), 0);
});

Deno.test("a port that is taken away gives all that had come #console:DEVICE_REMOVE", async () => {
  await using it = await bench();
  const one = await it.open(1);
  const sent = pattern(PORT_BYTES + 8 * 4096, 6);
  it.model.send(1, sent);
  assert(await soon(() => it.model.unsent(1) === 0 && one.readableBytes === PORT_BYTES));
  it.model.remove(1);
  assert(await soon(() => one.isGone));
  assertEquals(differsAt(await readAll(one, sent.length), sent), -1);
  assertEquals(await one.read(), null);
});

Deno.test("bytes for a port that is not open are dropped and counted #console:FLOW_GUEST_CLOSED", async () => {
  const model = new ConsoleModel({ ports: PORTS });
  // A device that sends whether the port is open or not.
  const { handle } = model;
  let sent = 0;
  model.handle = (queue, request) => {
    if (queue === wire.receiveq(1) && sent < 10) {
      sent++;
      request.write(bytes("junk!"));
      return request.written;
    }
    return handle.call(model, queue, request);
  };
  await using it = await bench(model);
  await it.client.announced();
  assert(await soon(() => sent === 10));
  const port = await it.open(1);
  model.send(1, "good");
  assertEquals(text(await port.read()), "good");
  assertEquals((await it.statistics())["port.1.bytes_discarded"], 50);
});

Deno.test("an other side that never reads is waited for, and at most 1 MiB waits #console:D-92 #console:TX_STREAM", async () => {
  await using it = await bench();
  const one = await it.open(1);
  const echo = await it.open(2);
  it.model.drain(1, false);
  const big = pattern(PORT_BYTES, 7);
  const first = one.write(big);
  const second = one.write(big.subarray(0, 8 * 4096));
  await assertRejects(
    () => one.write(big),
    RangeError,
    `Cannot write ${PORT_BYTES} bytes to port 1 (org.test.one): ${PORT_BYTES} wait already`,
  );
  assert(!await settled(first));
  await echo.write(bytes("others go on"));
  assertEquals(text(await echo.read()), "others go on");
  assertEquals((await it.statistics())["port.1.bytes_sent"], 0);
  it.model.drain(1, true);
  await Promise.all([first, second]);
  const wanted = new Uint8Array(PORT_BYTES + 8 * 4096);
  wanted.set(big);
  wanted.set(big.subarray(0, 8 * 4096), PORT_BYTES);
  assertEquals(differsAt(it.model.take(1), wanted), -1, "nothing was dropped, and all is in order");
});

Deno.test("streams: what is piped through an echo comes back, and cancelling loses nothing #console:TX_STREAM", async () => {
  await using it = await bench();
  const echo = await it.open(2);
  const sent = pattern(200 * KIB, 8);
  const pieces = Array.from({ length: 50 }, (_, i) => sent.slice(i * 4 * KIB, (i + 1) * 4 * KIB));
  const sending = ReadableStream.from(pieces).pipeTo(echo.writable);
  const got = new Uint8Array(sent.length);
  let at = 0;
  for await (const piece of echo.readable) {
    got.set(piece, at);
    at += piece.length;
    if (at === sent.length) break; // cancels the stream
  }
  await sending;
  assertEquals(differsAt(got, sent), -1);
  const reader = echo.readable.getReader();
  const pending = reader.read();
  await reader.cancel();
  assertEquals((await pending).done, true);
  await echo.write(bytes("after"));
  assertEquals(text(await echo.read()), "after", "a cancelled stream takes nothing with it");
});

Deno.test("many ports at once: each is named, and no message is lost #console:CTRL_ONE_BY_ONE #console:MULTIPORT #console:CTRL_REPOST", async () => {
  const ports = Object.fromEntries(
    Array.from({ length: 32 }, (_, i) => [i, { name: `port-${i}`, echo: true }]),
  );
  await using it = await bench({ ports, mostPorts: 32, queueSize: 32 }, { isolation: "process" });
  const all = await it.client.announced(5000);
  assertEquals(all.map(({ name }) => name), Array.from({ length: 32 }, (_, i) => `port-${i}`));
  await Promise.all(all.map((port) => port.open()));
  await Promise.all(all.map(async (port) => {
    const sent = pattern(20_000, port.id);
    const [, got] = await Promise.all([port.write(sent), readAll(port, sent.length)]);
    assertEquals(differsAt(got, sent), -1, port.name);
  }));
});

Deno.test("ports beyond the limit are refused, and those within are driven #console:PORT_READY #console:CONFIG", async () => {
  await using it = await bench({
    ports: { 0: {}, 31: { name: "last" }, 32: { name: "beyond" } },
    mostPorts: 64,
  });
  const ports = await it.client.announced();
  assertEquals(ports.map(({ id }) => id), [0, 31]);
  assert(await soon(() => it.model.heard.some(({ id }) => id === 32)));
  assertEquals(it.model.heard.find(({ id }) => id === 32), {
    id: 32,
    event: wire.PORT_READY,
    value: 0,
  });
});

for (
  const [said, ports, single] of [[0, 4, true], [0x8001, 4, true], [0xffffffff, 4, true], [
    1,
    4,
    false,
  ]] as const
) {
  Deno.test(`max_nr_ports of ${said} is ${single ? "not believed" : "believed"} #console:CONFIG`, async () => {
    const model = new ConsoleModel({ ports: { 0: { console: true } }, mostPorts: ports });
    new DataView(model.config.buffer).setUint32(wire.CONFIG_MAX_NR_PORTS, said, true);
    await using it = await bench(model);
    const { queues, features } = await it.device.describe();
    assertEquals(queues.length, single ? 2 : 4);
    const multiport = features.list.find(({ name }) => name === "VIRTIO_CONSOLE_F_MULTIPORT");
    assertEquals(multiport?.accepted, !single);
    assertEquals((await it.client.announced()).length, 1);
  });
}

Deno.test("a device that has fewer ports once its features are agreed is told that this failed #console:DEVICE_READY", async () => {
  const model = new ConsoleModel({ ports: PORTS });
  let agreed = false;
  lying(model, {
    id: "console",
    does: "forgets its ports",
    write(field, value) {
      agreed ||= field === "device_status" && (value & 8) !== 0;
      return value;
    },
    deviceConfig: (bytes) => agreed ? bytes.slice().fill(0) : bytes,
  });
  await using it = await bench(model);
  assert(await soon(() => model.heard.length > 0));
  assertEquals(model.heard, [{ id: 0xffffffff, event: wire.DEVICE_READY, value: 0 }]);
  assertEquals(await it.client.announced(50), []);
});

Deno.test("statistics have Linux's names #console:STATS", async () => {
  await using it = await bench();
  await it.client.announced();
  const port = await it.open(2);
  await port.write(bytes("12345"));
  await readAll(port, 5);
  const all = await it.statistics();
  const of = (id: number) =>
    Object.fromEntries(
      Object.entries(all).filter(([name]) => name.startsWith(`port.${id}.`)).map((
        [name, count],
      ) => [name.slice(7), count]),
    );
  assertEquals(of(2), {
    guest_connected: 1,
    host_connected: 1,
    outvq_full: 0,
    is_console: 0,
    bytes_sent: 5,
    bytes_received: 5,
    bytes_discarded: 0,
  });
  assertEquals(of(0).is_console, 1);
  assertEquals(of(1).guest_connected, 0);
  assertEquals(of(3), {});
});

Deno.test("wrong messages are ignored and counted, and all buffers go back #console:D-91 #console:CTRL_ID_RANGE #console:CTRL_REPOST", async () => {
  await using it = await bench();
  const ports = await it.client.announced();
  const junk = [
    controlMessage(4, wire.DEVICE_ADD, 1), // beyond max_nr_ports
    controlMessage(0xfffffffe, wire.DEVICE_ADD, 1),
    controlMessage(0xffffffff, wire.PORT_NAME, 1, bytes("x")),
    controlMessage(1, wire.DEVICE_ADD, 1), // a second time
    controlMessage(3, wire.DEVICE_REMOVE, 1), // never added
    controlMessage(3, wire.PORT_OPEN, 1),
    controlMessage(3, wire.CONSOLE_PORT, 1),
    controlMessage(1, wire.DEVICE_READY, 1), // the driver's own
    controlMessage(1, 8, 1), // unknown
    controlMessage(1, 0xffff, 0xffff),
  ];
  const cutOff = [
    ...[0, 1, 4, 7].map((length) => controlMessage(1, wire.DEVICE_REMOVE, 1).slice(0, length)),
    controlMessage(0, wire.RESIZE, 0, Uint8Array.of(1, 2, 3)),
  ];
  for (let i = 0; i < 20; i++) [...junk, ...cutOff].forEach((message) => it.model.say(message));
  it.model.add(3, { name: "the last message" });
  assert(await it.client.find("the last message", 5000));
  const counts = await it.statistics();
  assertEquals(counts.control_ignored, 20 * junk.length);
  assertEquals(counts.control_truncated, 20 * cutOff.length);
  assertEquals(ports.map(({ id, name, size, isGone }) => [id, name, size, isGone]), [
    [0, "", undefined, false],
    [1, "org.test.one", undefined, false],
    [2, "echo", undefined, false],
  ]);
  assertEquals((await it.device.describe()).restarts, 0);
});

const NAMES: readonly (readonly [Uint8Array, string])[] = [
  [Uint8Array.of(0xff, 0xfe, 0x41), "\ufffd\ufffdA"],
  [bytes("\x1b]0;owned\x07\x1b[2J"), "\ufffd]0;owned\ufffd\ufffd[2J"],
  [bytes("a\u202eb"), "a\ufffdb"],
  [bytes("with an end\0and more"), "with an end"],
  [new Uint8Array(65536).fill(0x61), "a".repeat(248)],
  [bytes("../../\n"), "../../\ufffd"],
  [new Uint8Array(), ""],
];
Deno.test("names are text of a bounded length that steers no terminal #console:D-91 #console:PORT_NAME", async () => {
  await using it = await bench();
  await it.client.announced();
  const port = it.client.port(1)!;
  for (const [given, wanted] of NAMES) {
    it.model.say(controlMessage(1, wire.PORT_NAME, 1, given));
    assert(await soon(() => port.name === wanted), `${JSON.stringify(port.name)} is not ${wanted}`);
  }
});

Deno.test("a port that flaps ends in the state that it was in last #console:D-91", async () => {
  await using it = await bench({ ports: PORTS }, { isolation: "process" });
  // What the model says before it has introduced its ports comes before their first names.
  await it.client.announced(5000);
  const port = await it.open(1);
  // A port is introduced when the driver is ready for it: what is said before that comes before its first name.
  for (const name of ["org.test.one", "echo"]) assert(await it.client.find(name, 5000));
  for (let i = 0; i < 2001; i++) it.model.say(controlMessage(1, wire.PORT_OPEN, i % 2));
  it.model.say(controlMessage(2, wire.PORT_NAME, 1, bytes("after")));
  assert(await it.client.find("after", 5000));
  assertEquals(port.connected, false);
  for (let i = 0; i < 500; i++) {
    it.model.say(controlMessage(1, wire.DEVICE_REMOVE, 1));
    it.model.say(controlMessage(1, wire.DEVICE_ADD, 1));
  }
  it.model.say(controlMessage(2, wire.PORT_NAME, 1, bytes("then")));
  assert(await it.client.find("then", 5000));
  assert(port.isGone && it.client.port(1) && !it.client.port(1)!.isGone);
});

Deno.test("a device that claims more bytes than a slot has is cut short #console:RX_BOUND", async () => {
  const model = lying(new ConsoleModel({ ports: PORTS }), "D-45");
  await using it = await bench(model, { restarts: 0 });
  const port = await it.client.find(1);
  if (port) {
    await port.open();
    model.send(1, "12345678");
    const got = await port.read();
    assert(got && got.length <= 4096);
  }
  const { queues } = await it.device.describe();
  assert(queues.some(({ overlong }) => overlong! > 0));
});

for (const isolation of ["process", "inline"] as const) {
  Deno.test(`after a reset of the device open ports are open again, and nothing is sent twice (${isolation}) #console:REPLAY`, async () => {
    await using it = await bench({ ports: PORTS, mostPorts: 8 }, { isolation });
    await it.client.announced();
    const one = await it.open(1);
    const echo = await it.open(2);
    await it.client.port(0)!.close();
    const reading = one.read();
    it.model.drain(1, false);
    const inFlight = one.write(bytes("perhaps"));
    assert(await soon(() => it.model.untaken(1) === 1));
    assert(!await settled(inFlight));
    needsReset(it.model);
    const error = await assertRejects(
      () => inFlight,
      RequestError,
      "whether it was done is not known",
    );
    assertEquals(error.status, Status.unknown);
    const later = one.write(bytes("surely"));
    it.model.drain(1, true);
    await later;
    assertEquals(text(it.model.take(1)), "surely");
    it.model.send(1, "after the reset");
    assertEquals(text(await reading), "after the reset");
    await echo.write(bytes("echo"));
    assertEquals(text(await echo.read()), "echo");
    assert(one.isOpen && it.model.guestOpen(1) && it.model.guestOpen(2));
    // The console was closed by us, and stays so.
    assert(await soon(() => !it.model.guestOpen(0)));
    assertEquals(it.client.ports.map(({ id }) => id), [0, 1, 2]);
    assertEquals((await it.device.describe()).restarts, 1);
  });
}

Deno.test("a port that does not come back after a reset is gone #console:REPLAY", async () => {
  await using it = await bench();
  const one = await it.open(1);
  const reading = one.read();
  await it.client.announced();
  it.model.vanish(1);
  needsReset(it.model);
  assertEquals(await reading, null);
  assert(one.isGone);
  assertEquals(it.client.ports.map(({ id }) => id), [0, 2]);
});

Deno.test("a queue that breaks is reset alone and filled again, whichever it is #console:RING_RESET", async () => {
  for (let wrong = 1; wrong <= 16; wrong++) {
    let answers = 0;
    const model = lying(new ConsoleModel({ ports: PORTS }), {
      id: "console",
      does: "uses a descriptor that does not exist, once",
      queue: used((queue, head, written) =>
        queue.put(++answers === wrong ? queue.size : head, written)
      ),
    });
    await using it = await bench(model);
    const echo = (await it.client.find("echo", 3000))!;
    await echo.open();
    const signal = AbortSignal.timeout(200);
    await echo.write(bytes("x")).catch((error) => assertEquals(error.status, Status.unknown));
    await echo.read(signal).catch((error) => assertEquals(error.name, "TimeoutError"));
    await echo.write(bytes("y"));
    assertMatch(text(await echo.read(AbortSignal.timeout(2000)))!, /y/);
    const { restarts, queues } = await it.device.describe();
    // Where messages may be lost, a reset of the queue is followed by one of the device.
    assert(answers >= wrong && restarts >= 1 && restarts <= 2, `answer ${wrong}, ${restarts}`);
    assertEquals(queues.filter(({ broken }) => broken), []);
  }
});

Deno.test("a device that is lost for good ends everything, once #console:D-91", async () => {
  await using it = await bench({ ports: PORTS }, { restarts: 0 });
  const one = await it.open(1);
  it.model.drain(1, false);
  const ends = Promise.allSettled([
    one.read(),
    one.write(bytes("x")),
    one.write(pattern(100_000, 1)),
  ]);
  needsReset(it.model);
  assertMatch(String(await it.device.gone), /DEVICE_NEEDS_RESET/);
  for (const end of await ends) {
    assert(end.status === "rejected");
    assertEquals((end.reason as RequestError).status, Status.gone);
  }
  await assertRejects(() => one.write(bytes("x")), RequestError, "the driver is gone");
  await assertRejects(() => one.read(), RequestError, "the driver is gone");
  await assertRejects(() => it.client.emergencyWrite(1), RequestError);
  assertEquals(it.client.ports, []);
});

Deno.test("a device whose start fails leaves nothing, and its buffers go after its reset #console:FAILED_ATTACH", async () => {
  const run = async () => {
    const model = lying(new ConsoleModel({ ports: PORTS }), lie("D-20"));
    await assertRejects(() => bench(model, { isolation: "process" }));
  };
  await run();
  assertEquals(await leftovers(run), []);
});

Deno.test("buffers go in the direction of their queue #console:DIRECTION", async () => {
  // The model fails the device if one does not.
  await using it = await bench({ ports: PORTS });
  const echo = await it.open(2);
  await echo.write(bytes("x"));
  await echo.read();
  const { status } = await it.device.describe();
  assert(status.includes("DRIVER_OK") && !status.includes("DEVICE_NEEDS_RESET"));
});

/** Lets a device call for its reset. */
function needsReset(model: ConsoleModel): void {
  model.fail("a test wants it");
}
