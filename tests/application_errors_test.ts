/**
 * What an application's callbacks do wrong is the application's: an `error` event, and nothing to device and driver.
 *
 * @module
 */

import { BlockOperation } from "../classes/block/mod.ts";
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { DRIVERS, simulatedDevices } from "../drivers.ts";
import { type Device, openKernel, type OpenOptions, Status } from "../mod.ts";
import { alive, soon } from "./support/leaks.ts";
import "./support/libc.ts";

const ISOLATIONS = ["inline", "process"] as const;
/** Longer than any of this takes. */
const PATIENCE = 15_000;

/** What can be thrown: anything. */
const THROWN: readonly unknown[] = [
  new Error("a mistake"),
  null,
  undefined,
  0,
  "text",
  Symbol("x"),
  new Proxy({}, {
    get() {
      throw new Error("a proxy that throws");
    },
  }),
];

/** Hears of errors of the program meanwhile. */
function listening(): Disposable & { readonly errors: unknown[] } {
  const errors: unknown[] = [];
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  globalThis.addEventListener("error", listener);
  return {
    errors,
    [Symbol.dispose]: () => globalThis.removeEventListener("error", listener),
  };
}

function throws(value: unknown): never {
  throw value;
}

function open(options: OpenOptions) {
  return openKernel({ machine: "simulated", drivers: DRIVERS, ...options });
}

/** Submits a read, whose end is told to `ended`. Settles when that has returned or thrown. */
function read(
  { client: { slots } }: Device<"block">,
  ended: (status: number) => void,
  slot = slots.take(),
): Promise<void> {
  return new Promise((resolve) => {
    slots.submit(slot, BlockOperation.read, 0, 512, (slot, status) => {
      slots.release(slot);
      resolve();
      ended(status);
    });
    slots.publish();
  });
}

for (const isolation of ISOLATIONS) {
  Deno.test(`a callback that throws anything is an error event, and the driver goes on (${isolation}) #core:callbacks`, async () => {
    using heard = listening();
    const lines: string[] = [];
    await using kernel = await open({ isolation, restarts: 0, log: (line) => lines.push(line) });
    const disk = await kernel.attachFirst("block");
    const { client: { slots } } = await kernel.attachFirst("network");
    const others = Promise.all(Array.from({ length: 50 }, () => disk.client.read(0, 512)));
    for (const value of THROWN) {
      await read(disk, () => throws(value));
      const sent = Promise.withResolvers<void>();
      slots.submit(slots.take(), 60, (slot) => {
        slots.release(slot);
        sent.resolve();
        throws(value);
      });
      slots.publish();
      await sent.promise;
    }
    assertEquals(heard.errors.length, 2 * THROWN.length);
    for (const [i, error] of heard.errors.entries()) assertStrictEquals(error, THROWN[i >> 1]);
    await others;
    assertEquals((await disk.client.read(0, 512)).length, 512);
    assertEquals((await disk.describe()).restarts, 0);
    assertEquals(lines, []);
  });

  Deno.test(`a callback may wait for other requests, and submit and release its own slot (${isolation}) #core:callbacks #core:slots`, async () => {
    using heard = listening();
    await using kernel = await open({ isolation, restarts: 0 });
    const disk = await kernel.attachFirst("block");
    const { slots } = disk.client;
    let ended = 0;
    const done = (slot: number) => {
      ended++;
      if (ended < 50 && ended % 3 === 0) {
        slots.submit(slot, BlockOperation.read, 0, 512, done);
        slots.publish();
      } else slots.release(slot);
      // Other requests end meanwhile, those behind this one in the ring among them.
      if (ended % 2 === 0 && slots.inFlight > 0) slots.wait(100);
    };
    for (let i = 0; i < 100; i++) {
      slots.submit(slots.take(), BlockOperation.read, 0, 512, done);
    }
    slots.publish();
    assert(await soon(() => slots.inFlight === 0, PATIENCE), `${slots.inFlight} in flight`);
    assertEquals(ended, 100 + [...Array(50).keys()].filter((i) => i > 0 && i % 3 === 0).length);
    assertEquals((await disk.describe()).restarts, 0);
    assertEquals(heard.errors, []);
  });
}

Deno.test("the end of a device tells each callback, whatever they throw, and waits for none that submits for ever #core:callbacks #core:slots", async () => {
  using heard = listening();
  const kernel = await open({ isolation: "inline" });
  const disk = await kernel.attachFirst("block");
  const { slots } = disk.client;
  let again = true;
  let statuses = 0;
  const stubborn = (slot: number, status: number) => {
    if (status === Status.gone) statuses++;
    if (!again) return slots.release(slot);
    slots.submit(slot, BlockOperation.read, 0, 512, stubborn);
    slots.publish();
  };
  slots.submit(slots.take(), BlockOperation.read, 0, 512, stubborn);
  for (const value of THROWN) void read(disk, (status) => status === Status.gone && throws(value));
  // Not shown to the driver: these end with the device.
  for (let i = 0; i < 3; i++) {
    slots.submit(slots.take(), BlockOperation.read, 0, 512, () => throws(i));
  }
  await kernel[Symbol.asyncDispose]();
  assert(await soon(() => statuses > 10, PATIENCE), "the program goes on, and tells it again");
  // A program without promises sees it as well.
  assert(slots.wait(PATIENCE) > 0);
  again = false;
  assert(await soon(() => slots.inFlight === 0, PATIENCE));
  for (const i of [0, 1, 2]) assert(heard.errors.includes(i));
});

Deno.test("log may throw: the device is as it was, and starts anew #core:callbacks", async () => {
  using heard = listening();
  const model = new DiskModel({ capacity: 2 ** 20 });
  await using kernel = await open({
    devices: [model],
    log: (line) => throws(`logged ${line}`),
  });
  const disk = await kernel.attachFirst("block");
  using changes = disk.client.changes();
  model.resize(2 ** 21);
  assertEquals((await changes.next()).value, { type: "resized", capacity: 2 ** 21 });
  assertEquals(disk.client.capacity, 2 ** 21);
  const { pid } = disk;
  Deno.kill(pid!, "SIGKILL");
  assert(await soon(() => disk.pid !== pid && alive(disk.pid!)));
  assertEquals((await disk.client.read(0, 512)).length, 512);
  assert(heard.errors.some((error) => /logged .*starting anew/.test(String(error))));
});

Deno.test("a handler in the kernel's loop may throw, and reaches only descriptors of its own #core:callbacks", async () => {
  using heard = listening();
  await using kernel = await open({ isolation: "inline" });
  const disk = await kernel.attachFirst("block");
  const { loop } = kernel;
  // The core's own: those that are eventfds now.
  const own = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
    .filter((fd) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${fd}`).includes("eventfd");
      } catch {
        return false;
      }
    });
  const refused = own.filter((fd) => {
    try {
      loop.add(fd, () => {});
      loop.remove(fd);
      return false;
    } catch (error) {
      return (error as Error).message.endsWith("it is one of the core's own");
    }
  });
  assert(refused.length > 0);
  for (const fd of refused) loop.remove(fd);
  const path = Deno.makeTempFileSync();
  using file = Deno.openSync(path);
  Deno.removeSync(path);
  const fd = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name)).find((fd) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  })!;
  assert(file && fd >= 0);
  loop.add(fd, () => {
    loop.remove(fd);
    throws("handled");
  });
  assert(await soon(() => heard.errors.length > 0));
  assertEquals(heard.errors, ["handled"]);
  assertEquals((await disk.client.read(0, 512)).length, 512);
});

Deno.test("a receiver takes no slot back that it has not lent, and there is one at a time #core:slots", async () => {
  await using kernel = await open({ devices: simulatedDevices(), isolation: "inline" });
  const { client } = await kernel.attachFirst("network");
  using receiver = client.slots.receive();
  const send = async () => {
    const frame = new Uint8Array(60).fill(0xff, 0, 6);
    frame.set(client.mac, 6);
    await client.send(frame);
  };
  await send();
  assertEquals(receiver.drain(() => throws("none"), 0), 0);
  for (const slot of [-1, NaN, 0, "0", receiver.count, undefined]) {
    assertThrows(() => receiver.release(slot as number), TypeError, "drain() has not lent it");
  }
  assertThrows(() => client.slots.receive(), TypeError, "dispose the other receiver");
});

Deno.test("a signal that was aborted before ends a wait before it begins #core:signals", async () => {
  await using kernel = await open({ devices: simulatedDevices(), isolation: "inline" });
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  const { client: balloon } = await kernel.attachFirst("balloon");
  const { client: scsi } = await kernel.attachFirst("scsi");
  const { client: console } = await kernel.attachFirst("console");
  const port = await console.find(0, PATIENCE);
  const unit = { target: 0, lun: 0 };
  const waits = [
    () => balloon.settled(signal),
    () => scsi.execute(unit, new Uint8Array(6), { signal }),
    () => port!.read(signal),
  ];
  for (const wait of waits) assertStrictEquals(await assertRejects(wait), reason);
  for await (const _ of balloon.changes(signal)) throw new Error("nothing is told");
  assertEquals((await scsi.execute(unit, new Uint8Array(6))).ended, Status.ok);
});

Deno.test("a kernel that was disposed takes no device #core:arguments", async () => {
  const kernel = await open({ isolation: "inline" });
  const [{ function: { address } }] = kernel.nodes as [typeof kernel.nodes[0]];
  await kernel[Symbol.asyncDispose]();
  await assertRejects(() => kernel.attach(address), TypeError, "the kernel was disposed");
});
