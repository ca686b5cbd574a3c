/**
 * The console driver on QEMU's virtio-serial: consoles and ports on Unix sockets, in all forms of the device.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ConsoleClient } from "../classes/console/client.ts";
import type { ConsolePort } from "../classes/console/port.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { INTERRUPTS } from "../core/binding/interrupt_kind.ts";
import type { Kernel, OpenOptions } from "../mod.ts";
import { readAll } from "./support/console.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { eachQemuTest, pattern, qemuTest } from "./support/machine.ts";
import { differsAt, openQemuKernel, qmpOf } from "./support/qemu.ts";

const KIB = 1024;
const MIB = 2 ** 20;

/** The other side of a port: a Unix socket of QEMU's. */
class OtherSide implements Disposable {
  readonly #connection: Deno.Conn;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  write(bytes: Uint8Array): Promise<void> {
    const writer = this.#connection.writable.getWriter();
    return writer.write(bytes as Uint8Array<ArrayBuffer>).finally(() => writer.releaseLock());
  }

  /** Reads so many bytes. */
  async read(length: number): Promise<Uint8Array> {
    const all = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const count = await this.#connection.read(all.subarray(at));
      assert(count !== null, `the socket ends after ${at} of ${length} bytes`);
      at += count;
    }
    return all;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/** A QEMU with one virtio-serial device, at work. */
class Bench implements AsyncDisposable {
  readonly kernel: Kernel;
  readonly device: Device<"console">;
  readonly #folder: string;

  constructor(kernel: Kernel, device: Device<"console">, folder: string) {
    this.kernel = kernel;
    this.device = device;
    this.#folder = folder;
  }

  get client(): ConsoleClient {
    return this.device.client;
  }

  /** Connects to the other side of a port. */
  async other(name: string): Promise<OtherSide> {
    return new OtherSide(
      await Deno.connect({ transport: "unix", path: `${this.#folder}/${name}` }),
    );
  }

  /** A port of that name, open. */
  async open(name: string): Promise<ConsolePort> {
    const port = await this.client.find(name, 5000);
    assert(port, `port ${name} is announced`);
    await port.open();
    return port;
  }

  qmp(command: string, args: Record<string, unknown>): unknown {
    return qmpOf(this.kernel).execute(command, args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kernel[Symbol.asyncDispose]();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

interface Setup {
  /** For `virtio-serial-pci`; begins with a comma, unless empty. */
  readonly options?: string;
  /** Names of ports on a socket each. */
  readonly ports?: readonly string[];
  /** Whether port 0 is a console, on a socket of this name. */
  readonly console?: string;
  readonly open?: OpenOptions;
  readonly machine?: "q35" | "pc";
}

async function bench(
  { options = "", ports = ["one"], console, open, machine }: Setup = {},
): Promise<Bench> {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-serial-" });
  const socket = (name: string) => [
    "-chardev",
    `socket,id=${name},path=${folder}/${name},server=on,wait=off`,
  ];
  const kernel = await openQemuKernel(
    [
      ...["-device", `virtio-serial-pci,id=serial${options}`],
      ...(console ? [...socket(console), "-device", `virtconsole,chardev=${console}`] : []),
      ...ports.flatMap((name) => [
        ...socket(name),
        ...["-device", `virtserialport,chardev=${name},name=${name},id=port-${name}`],
      ]),
    ],
    open,
    machine,
  );
  try {
    return new Bench(kernel, await kernel.attachFirst("console"), folder);
  } catch (error) {
    await kernel[Symbol.asyncDispose]();
    throw error;
  }
}

/** Bytes both ways at once, compared. */
async function talk(
  port: ConsolePort,
  other: OtherSide,
  length: number,
  seed: number,
): Promise<void> {
  const [to, from] = [pattern(length, seed), pattern(length, seed + 1)];
  const [, there, , here] = await Promise.all([
    port.write(to),
    other.read(length),
    other.write(from),
    readAll(port, length),
  ]);
  assertEquals(differsAt(there, to), -1, "to the other side");
  assertEquals(differsAt(here, from), -1, "from the other side");
}

const FORMS: Readonly<Record<string, { readonly options: string; readonly legacy?: boolean }>> = {
  modern: { options: ",disable-legacy=on" },
  packed: { options: ",disable-legacy=on,packed=on" },
  transitional: { options: ",disable-legacy=off,disable-modern=off", legacy: true },
  old: { options: ",disable-legacy=off,disable-modern=on", legacy: true },
};

for (const [form, { options, legacy = false }] of Object.entries(FORMS)) {
  for (const isolation of ["process", "inline"] as const) {
    eachQemuTest(
      `virtio-serial: a console and a port, both ways (${form}, ${isolation}) #console:FORMS ` +
        `#console:MULTIPORT #console:PORT_NAME #console:CONSOLE_PORT #console:DEVICE_READY #console:PORT_READY`,
      async () => {
        await using it = await bench({ options, console: "tty", open: { isolation, legacy } });
        const ports = await it.client.announced(5000);
        assertEquals(
          ports.map(({ id, name, isConsole, isOpen }) => [id, name, isConsole, isOpen]),
          [[0, "", true, true], [1, "one", false, false]],
        );
        using tty = await it.other("tty");
        using one = await it.other("one");
        const port = await it.open("one");
        await Promise.all([
          talk(ports[0]!, tty, 20 * KIB, 1),
          talk(port, one, 100 * KIB, 3),
        ]);
        const view = await it.device.describe();
        const modern = form === "modern" || form === "packed";
        assertEquals([view.transport, view.restarts], [modern ? "modern" : "legacy", 0]);
        assertEquals(view.queues[0]!.kind, form === "packed" ? "packed" : "split");
        assertEquals(view.statistics["port.1.bytes_sent"], 100 * KIB);
        assertEquals(view.statistics["port.1.bytes_received"], 100 * KIB);
      },
    );
  }
}

for (const interrupts of INTERRUPTS) {
  for (const machine of ["q35", "pc"] as const) {
    qemuTest(`virtio-serial: told of by ${interrupts} (${machine}) #console:FORMS`, async () => {
      await using it = await bench({ machine, open: { interrupts, isolation: "inline" } });
      using one = await it.other("one");
      const port = await it.open("one");
      await talk(port, one, 30 * KIB, 5);
      const kinds = (await it.device.describe()).interrupts;
      assertEquals(kinds, interrupts);
    });
  }
}

qemuTest(
  "virtio-serial: with max_ports=1 there is one port and no messages #console:SINGLE_PORT",
  async () => {
    await using it = await bench({ options: ",max_ports=1", ports: [], console: "tty" });
    const [port] = await it.client.announced(5000);
    using tty = await it.other("tty");
    await talk(port!, tty, 10 * KIB, 7);
    assertEquals([port!.isConsole, port!.isOpen, port!.connected], [true, true, true]);
    assertEquals((await it.device.describe()).queues.length, 2);
  },
);

qemuTest(
  "virtio-serial: 40 ports at once, those that are driven all named #console:CTRL_ONE_BY_ONE #console:PORT_READY #console:CTRL_REPOST",
  async () => {
    const ports = Array.from({ length: 40 }, (_, i) => `name-${i + 1}`);
    await using it = await bench({ options: ",max_ports=64,vectors=2", ports });
    const all = await it.client.announced(10_000);
    // Port 0 is for a console, and ours end at 31.
    assertEquals(all.map(({ name }) => name), ports.slice(0, 31));
    const last = await it.open("name-31");
    using other = await it.other("name-31");
    await talk(last, other, 10 * KIB, 9);
  },
);

qemuTest(
  "virtio-serial: the other side opens and closes, QEMU tells that the port is open here #console:PORT_OPEN #console:FLOW_HOST",
  async () => {
    await using it = await bench();
    const port = await it.open("one");
    assertEquals(port.connected, false);
    const early = port.write(new TextEncoder().encode("early"));
    let done = false;
    early.then(() => done = true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert(!done, "nothing is sent to a closed other side");
    {
      using other = await it.other("one");
      await early;
      assertEquals(new TextDecoder().decode(await other.read(5)), "early");
      assert(port.connected);
      await other.write(new TextEncoder().encode("bye"));
      // What is on its way when the socket ends, QEMU may drop.
      assertEquals(new TextDecoder().decode(await readAll(port, 3)), "bye");
    }
    assertEquals(await port.read(), null);
    assertEquals(port.connected, false);
    using again = await it.other("one");
    await talk(port, again, 5 * KIB, 11);
    // While the port is closed here, QEMU takes no bytes for it.
    await port.close();
    await again.write(new TextEncoder().encode("kept"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const statistics = (await it.device.describe()).statistics;
    assertEquals(statistics["port.1.bytes_discarded"], 0);
    await port.open();
    assertEquals(new TextDecoder().decode(await readAll(port, 4)), "kept");
  },
);

eachQemuTest(
  "virtio-serial: ports are plugged and unplugged #console:HOTPLUG #console:DEVICE_ADD #console:DEVICE_REMOVE",
  async () => {
    for (const isolation of ["process", "inline"] as const) {
      await using it = await bench({ open: { isolation } });
      const one = await it.open("one");
      using other = await it.other("one");
      for (const id of ["ring", "other"]) {
        it.qmp("chardev-add", { id, backend: { type: "ringbuf", data: { size: 65536 } } });
      }
      it.qmp("device_add", {
        driver: "virtserialport",
        chardev: "ring",
        name: "late",
        id: "port-late",
        nr: 7,
      });
      const late = await it.open("late");
      assertEquals(late.id, 7);
      await late.write(new TextEncoder().encode("into the ring"));
      assertEquals(it.qmp("ringbuf-read", { device: "ring", size: 100 }), "into the ring");
      const reading = late.read();
      it.qmp("device_del", { id: "port-late" });
      assertEquals(await reading, null);
      assert(late.isGone && it.client.port("late") === undefined);
      await assertRejects(
        () => late.write(new Uint8Array(1)),
        RequestError,
        "the port was taken away",
      );
      await talk(one, other, 10 * KIB, 13);
      it.qmp("device_add", {
        driver: "virtserialport",
        chardev: "other",
        name: "later",
        id: "port-late",
        nr: 7,
      });
      const later = await it.open("later");
      await later.write(new TextEncoder().encode("again"));
      assertEquals(it.qmp("ringbuf-read", { device: "other", size: 100 }), "again");
    }
  },
);

qemuTest(
  "virtio-serial: a port that is not read, on either side, waits and loses nothing #console:FLOW_GUEST #console:TX_STREAM #console:D-92",
  async () => {
    await using it = await bench({ ports: ["one", "two"] });
    const [one, two] = [await it.open("one"), await it.open("two")];
    using first = await it.other("one");
    using second = await it.other("two");
    const sent = pattern(4 * MIB, 17);
    // The socket is not read: QEMU and the driver hold it until it is.
    const writing = one.write(sent);
    let written = false;
    writing.then(() => written = true);
    const sending = first.write(sent);
    // What came together and does not fit as a whole waits.
    assert(await soon(() => one.readableBytes > MIB - 4 * KIB), `${one.readableBytes} came`);
    await talk(two, second, 50 * KIB, 19);
    assert(!written && one.readableBytes <= MIB);
    const [there, here] = await Promise.all([
      first.read(sent.length),
      readAll(one, sent.length),
      writing,
      sending,
    ]);
    assertEquals(differsAt(there, sent), -1);
    assertEquals(differsAt(here, sent), -1);
  },
);

qemuTest(
  "virtio-serial: emergency write, with ports and before they are there #console:EMERG_WRITE #console:EMERG_ANY_TIME",
  async () => {
    await using it = await bench({ console: "tty", ports: [], options: ",emergency-write=on" });
    using tty = await it.other("tty");
    for (const byte of new TextEncoder().encode("help!")) await it.client.emergencyWrite(byte);
    assertEquals(new TextDecoder().decode(await tty.read(5)), "help!");
  },
);

qemuTest("virtio-serial: without emergency write there is none #console:EMERG_WRITE", async () => {
  await using it = await bench({ options: ",emergency-write=off" });
  assert(!it.client.canEmergencyWrite);
  await assertRejects(
    () => it.client.emergencyWrite(1),
    RequestError,
    "the device does not offer it",
  );
});

qemuTest(
  "virtio-serial: a driver that is killed comes back, and its ports are open again #console:REPLAY",
  async () => {
    await using it = await bench({ open: { isolation: "process" } });
    const port = await it.open("one");
    using other = await it.other("one");
    await talk(port, other, 10 * KIB, 21);
    const changes = it.client.changes();
    Deno.kill(it.device.pid!, "SIGKILL");
    // It is announced anew.
    for await (const { type } of changes) if (type === "changed" && port.connected) break;
    await talk(port, other, 10 * KIB, 23);
    assert(port.isOpen);
    assertEquals((await it.device.describe()).restarts, 1);
  },
);
