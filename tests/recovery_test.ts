/**
 * Drivers and devices that fail under load and come back: applications notice no more than a pause.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import blk from "@virtio/blk";
import { DiskModel } from "@virtio/blk/model";
import { EntropyModel } from "@virtio/random/model";
import type { BlockClient } from "../classes/block/client.ts";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import {
  type DeviceHandle,
  type DeviceModel,
  during,
  fitted,
  type Lie,
  lie,
  lying,
  neverAnswers,
  RING_PACKED,
} from "../simulation/mod.ts";
import { DRIVERS } from "../drivers.ts";
import { type Kernel, openKernel, type OpenOptions, type PluginSource } from "../mod.ts";
import { bit, Feature } from "../core/virtio/features.ts";
import { alive, leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern, qemuTest } from "./support/machine.ts";
import { agrees, differsAt, FileDisk, openQemuKernel, qmpOf } from "./support/qemu.ts";
import { LOAD_SLOTS, SlotLoad } from "./support/slots.ts";
import { entropyDriver, fixture, PLAN, WORK } from "./support/plugin.ts";

const MIB = 2 ** 20;
const CAPACITY = 4 * MIB;

/** A driver for disks that fails when it is told to. */
function fragile(): { source: PluginSource; fail(): void } {
  let failing = false;
  const honest = DRIVERS.find(({ manifest }) => manifest.name === "blk")!;
  const source: PluginSource = {
    ...honest,
    plugin: {
      ...blk,
      start(device) {
        const driver = blk.start(device);
        return {
          ...driver,
          rung() {
            if (failing) {
              failing = false;
              throw new Error("told to fail");
            }
            driver.rung();
          },
        };
      },
    },
  };
  return { source, fail: () => failing = true };
}

const SIMULATED = () => new DiskModel({ capacity: CAPACITY, requestQueues: 2 });

interface Machine {
  readonly open: (options: OpenOptions) => Promise<Kernel>;
  /** What stands on the disk now, read without this project if there is a way. */
  readonly stored: (client: BlockClient) => Promise<Uint8Array> | Uint8Array;
}

/** Runs `work` on a disk of each kind of machine. */
function onEach(
  name: string,
  work: (machine: Machine) => Promise<void>,
): void {
  const simulated: Readonly<Record<string, () => DeviceModel>> = {
    simulated: SIMULATED,
    "simulated, packed": () => fitted(SIMULATED(), { with: RING_PACKED }),
  };
  for (const [kind, make] of Object.entries(simulated)) {
    Deno.test(`${name} (${kind})`, async () => {
      const left = await leftovers(() =>
        work({
          open: (options) => openKernel({ machine: "simulated", devices: [make()], ...options }),
          stored: (client) => client.read(0, CAPACITY),
        })
      );
      assertEquals(left, []);
    });
  }
  const qemu = {
    "msix": ["", {}],
    "intx, packed": [",packed=on", { interrupts: "intx" }],
    "polling, legacy": [",disable-legacy=off,disable-modern=on", { interrupts: "polling" }],
  } as const;
  for (const [kind, [form, more]] of Object.entries(qemu)) {
    qemuTest(`${name} (qemu, ${kind})`, async () => {
      const left = await leftovers(async () => {
        using file = new FileDisk("disk", CAPACITY, `,num-queues=2${form}`);
        await work({
          open: (options) => openQemuKernel(file.arguments, { ...more, ...options }),
          stored: () => Deno.readFileSync(file.file),
        });
      });
      assertEquals(left, []);
    });
  }
}

/** Waits until a device works again after it was started anew so often. */
async function comesBack(device: Device, restarts: number): Promise<void> {
  let gone: { readonly reason: string | undefined } | undefined;
  device.gone.then((reason) => gone = { reason });
  for (;;) {
    // Its driver may die at this very moment; see the test of describe().
    const view = await device.describe().catch(() => undefined);
    if (view?.restarts === restarts && view.status.length > 0) return;
    assert(!gone, `it does not come back: ${gone?.reason}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

onEach("driver killed three times under load: no request fails, all data is there", async (on) => {
  await using kernel = await on.open({});
  const disk = await kernel.attachFirst("block");
  const { client } = disk;
  const load = new SlotLoad(client);
  const pids = new Set([disk.pid!]);
  for (let kills = 1; kills <= 3; kills++) {
    await load.progress();
    Deno.kill(disk.pid!, "SIGKILL");
    await comesBack(disk, kills);
    pids.add(disk.pid!);
  }
  await load.progress();
  await load.finish();
  assertEquals(load.failures, []);
  assert(disk.client === client, "the client is another one now");
  assertEquals(pids.size, 4);
  assertEquals([...pids].filter(alive), [disk.pid]);
  assertEquals(kernel.devices, [disk]);
  const view = await disk.describe();
  assertEquals([view.restarts, view.pid], [3, disk.pid]);
  assertEquals(differsAt(await on.stored(client), load.wanted), -1);
});

onEach("inline driver throws three times under load: no request fails", async (on) => {
  const { source, fail } = fragile();
  await using kernel = await on.open({ isolation: "inline", drivers: [source] });
  const disk = await kernel.attachFirst("block");
  const load = new SlotLoad(disk.client);
  for (let times = 1; times <= 3; times++) {
    await load.progress();
    fail();
    await comesBack(disk, times);
  }
  await load.progress();
  await load.finish();
  assertEquals(load.failures, []);
  assertEquals((await disk.describe()).restarts, 3);
  assertEquals(differsAt(await on.stored(disk.client), load.wanted), -1);
});

onEach("driver killed once too often: requests end as gone, and it is said why", async (on) => {
  const lines: string[] = [];
  await using kernel = await on.open({ restarts: 1, log: (line) => lines.push(line) });
  const disk = await kernel.attachFirst("block");
  const load = new SlotLoad(disk.client);
  await load.progress();
  Deno.kill(disk.pid!, "SIGKILL");
  await comesBack(disk, 1);
  assertEquals(
    lines.filter((line) => /starting anew: its process ended by signal 9/.test(line)).length,
    1,
  );
  await load.progress();
  assertEquals(load.failures, []);
  Deno.kill(disk.pid!, "SIGKILL");
  assertMatch(await disk.gone ?? "", /its process ended by signal 9/);
  await load.finish();
  assert(load.failures.length > 0 && load.failures.every((status) => status === Status.gone));
  assertEquals(load.failures.length, LOAD_SLOTS);
  await assertRejects(() => disk.client.read(0, 512), RequestError, "gone");
  assertEquals(kernel.devices, []);
  assertEquals((await disk.describe()).status, []);
});

onEach("without restarts everything ends at the first failure", async (on) => {
  const { source, fail } = fragile();
  for (const isolation of ["process", "inline"] as const) {
    await using kernel = await on.open({ restarts: 0, isolation, drivers: [source] });
    const disk = await kernel.attachFirst("block");
    const load = new SlotLoad(disk.client);
    await load.progress();
    if (isolation === "process") Deno.kill(disk.pid!, "SIGKILL");
    else fail();
    assertMatch(await disk.gone ?? "", /its process ended by signal 9|told to fail/);
    await load.finish();
    assertEquals(load.failures, load.failures.map(() => Status.gone));
    assertEquals(load.failures.length, LOAD_SLOTS);
    // Another start by hand is another device at work.
    const again = await kernel.attach(disk.address) as Device<"block">;
    await again.client.write(0, pattern(512, 5));
    assertEquals(await again.client.read(0, 512), pattern(512, 5));
  }
});

onEach(
  "kernel disposed while a driver comes back: all requests end, nothing is left",
  async (on) => {
    for (const wait of [0, 1, 20, 45, 70, 150]) {
      const kernel = await on.open({});
      const disk = await kernel.attachFirst("block");
      const load = new SlotLoad(disk.client);
      await load.progress(100);
      Deno.kill(disk.pid!, "SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, wait));
      await kernel[Symbol.asyncDispose]();
      await load.finish();
      assert(load.failures.every((status) => status === Status.gone), `${load.failures}`);
      assertEquals(await disk.gone, undefined, `after ${wait} ms`);
    }
  },
);

onEach("describe(): answers while its driver dies and comes back", async (on) => {
  await using kernel = await on.open({});
  const disk = await kernel.attachFirst("block");
  const load = new SlotLoad(disk.client);
  await load.progress();
  let over = false;
  const looking = (async () => {
    const seen = new Set<number>();
    while (!over) {
      const view = await disk.describe();
      seen.add(view.restarts);
      assertEquals(view.queues.length, 2);
      await new Promise((resolve) => setTimeout(resolve));
    }
    return seen;
  })();
  // Not the test's own fault, should it be unhandled for a while.
  looking.catch(() => {});
  for (let kills = 0; kills < 2; kills++) {
    const { pid } = disk;
    Deno.kill(pid!, "SIGKILL");
    assert(await soon(() => disk.pid !== undefined && disk.pid !== pid));
    await load.progress();
  }
  over = true;
  const seen = await looking;
  await load.finish();
  assertEquals(load.failures, []);
  assert(seen.has(0) && seen.has(2));
});

/** Devices that fail once, and how it shows. */
const ONCE: Readonly<Record<string, { readonly lies: () => Lie; readonly says: RegExp }>> = {
  "uses a descriptor that does not exist": {
    lies: () => during(lie("D-41"), (life) => life === 1),
    says: /\[D-41\]/,
  },
  "uses a descriptor that was not given": {
    lies: () => during(lie("D-42"), (life) => life === 1),
    says: /\[D-4[12]\]/,
  },
  "uses each descriptor twice": {
    lies: () => during(lie("D-43"), (life) => life === 1),
    says: /\[D-4[28]\]/,
  },
  "moves the used index too far": {
    lies: () => during(lie("D-48"), (life) => life === 1),
    says: /\[D-4[28]\]/,
  },
  "fills its part of the ring with ones": {
    lies: () => during(lie("D-63"), (life) => life === 1),
    says: /\[D-\d\d\]/,
  },
  "never answers in its first life": {
    lies: () => during(lie("D-64"), (life) => life === 1),
    says: /did not finish a request within 1500 ms/,
  },
  "forgets everything": { lies: () => lie("D-76"), says: /did not finish a request|D-\d\d/ },
  "needs a reset": { lies: () => lie("D-77"), says: /DEVICE_NEEDS_RESET/ },
};

for (const [name, { lies, says }] of Object.entries(ONCE)) {
  for (const isolation of ["process", "inline"] as const) {
    for (const interrupts of ["msix", "shared", "intx", "polling"] as const) {
      Deno.test(`a disk that once ${name} comes back (${isolation}, ${interrupts})`, async () => {
        const left = await leftovers(async () => {
          const lines: string[] = [];
          await using kernel = await openKernel({
            machine: "simulated",
            devices: [lying(SIMULATED(), lies()), new EntropyModel()],
            drivers: DRIVERS,
            isolation,
            interrupts,
            requestDeadline: 1500,
            // A queue that is reset alone is another matter; see below.
            without: bit(Feature.RING_RESET),
            log: (line) => lines.push(line),
          });
          const disk = await kernel.attachFirst("block");
          const random = await kernel.attachFirst("entropy");
          const load = new SlotLoad(disk.client);
          await load.progress(500);
          await load.finish();
          assertEquals(load.failures, []);
          const view = await disk.describe();
          assertEquals([view.restarts, view.interrupts], [1, interrupts], lines.join("\n"));
          const anew = lines.filter((line) => line.includes("starting anew"));
          assertEquals(anew.length, 1);
          // A device without interrupts cannot tell the core that it needs a reset, so it shows later.
          const polled = interrupts === "polling" && /did not finish a request within 1500 ms/;
          assertMatch(anew[0]!, polled && !says.test(anew[0]!) ? polled : says);
          assertEquals(differsAt(await disk.client.read(0, CAPACITY), load.wanted), -1);
          assertEquals((await random.client.read(32)).length, 32);
          assertEquals((await random.describe()).restarts, 0);
        });
        assertEquals(left, []);
      });
    }
  }
}

/** A lie that each queue tells until it is given back so often. */
function untilEnabled(times: number, told: Lie): Lie {
  let enabled = 0;
  return {
    ...told,
    queue: (honest, ring) => enabled++ < times ? told.queue!(honest, ring) : honest,
  };
}

for (const isolation of ["process", "inline"] as const) {
  for (const packed of [false, true]) {
    const how = `${isolation}${packed ? ", packed" : ""}`;
    /** Puts a disk with one queue under load, and gives the lines that the kernel said. */
    const run = async (told: Lie, restarts: number): Promise<readonly string[]> => {
      const lines: string[] = [];
      const left = await leftovers(async () => {
        const disk = lying(new DiskModel({ capacity: CAPACITY }), told);
        await using kernel = await openKernel({
          machine: "simulated",
          devices: [packed ? fitted(disk, { with: RING_PACKED }) : disk],
          drivers: DRIVERS,
          isolation,
          requestDeadline: 1500,
          log: (line) => lines.push(line),
        });
        const device = await kernel.attachFirst("block");
        const load = new SlotLoad(device.client);
        await load.progress(500);
        await load.finish();
        assertEquals(load.failures, []);
        assertEquals((await device.describe()).restarts, restarts, lines.join("\n"));
        assertEquals(differsAt(await device.client.read(0, CAPACITY), load.wanted), -1);
      });
      assertEquals(left, []);
      return lines.filter((line) => /resetting the queue|starting anew/.test(line));
    };

    Deno.test(`a queue that is broken once is reset alone (${how})`, async () => {
      const lines = await run(untilEnabled(1, lie("D-41")), 1);
      assertEquals(lines.length, 1);
      assertMatch(lines[0]!, /resetting the queue: On queue requests0 the device used .*\[D-41\]/);
    });

    Deno.test(`a queue that stays broken when it is reset: its device is reset (${how})`, async () => {
      const lines = await run(during(lie("D-41"), (life) => life === 1), 2);
      assertEquals(lines.map((line) => /resetting|starting/.exec(line)?.[0]), [
        "resetting",
        "starting",
      ]);
    });
  }
}

Deno.test("a disk that loses one request: it is asked again, and the request ends well", async () => {
  for (const isolation of ["process", "inline"] as const) {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [lying(SIMULATED(), neverAnswers(20))],
      drivers: DRIVERS,
      isolation,
      requestDeadline: 1500,
    });
    const disk = await kernel.attachFirst("block");
    const load = new SlotLoad(disk.client);
    await load.progress(300);
    await load.finish();
    assertEquals(load.failures, []);
    assertEquals((await disk.describe()).restarts, 1);
    assertEquals(differsAt(await disk.client.read(0, CAPACITY), load.wanted), -1);
  }
});

Deno.test("a disk that lies in every life: it is given up in the end, and it is said why", async () => {
  for (const isolation of ["process", "inline"] as const) {
    const left = await leftovers(async () => {
      await using kernel = await openKernel({
        machine: "simulated",
        devices: [lying(SIMULATED(), "D-41")],
        drivers: DRIVERS,
        isolation,
        restarts: 2,
      });
      const disk = await kernel.attachFirst("block");
      const load = new SlotLoad(disk.client);
      await load.finish();
      assert(load.failures.length > 0);
      assertEquals(load.failures, load.failures.map(() => Status.gone));
      assertMatch(await disk.gone ?? "", /\[D-41\]/);
      assertEquals((await disk.describe()).restarts, 2);
    });
    assertEquals(left, []);
  }
});

/** A disk that needs a reset at certain writes, and remembers which sectors were written in each life. */
class WritesDisk extends DiskModel {
  readonly lives: number[][] = [[]];
  #device: DeviceHandle | undefined;

  /** @param at After how many writes altogether. */
  constructor(at: readonly number[]) {
    let writes = 0;
    super({
      capacity: CAPACITY,
      queueSize: 256,
      fail: (type, sector) => {
        if (type !== 1) return undefined;
        this.lives.at(-1)!.push(sector);
        if (at.includes(++writes)) {
          this.lives.push([]);
          this.#device!.needsReset("it is time");
        }
        return undefined;
      },
    });
  }

  override attach(device: DeviceHandle): void {
    super.attach(device);
    this.#device = device;
  }
}

Deno.test("writes that overlap keep their order when they are submitted again #blk:replay", async () => {
  for (const isolation of ["process", "inline"] as const) {
    for (const packed of [false, true]) {
      const model = new WritesDisk([50, 120]);
      await using kernel = await openKernel({
        machine: "simulated",
        devices: [packed ? fitted(model, { with: RING_PACKED }) : model],
        drivers: DRIVERS,
        isolation,
      });
      const { client, ...disk } = await kernel.attachFirst("block");
      const wanted = new Uint8Array(CAPACITY);
      const count = 400;
      let ends = 0;
      const writes = Array.from({ length: count }, (_, i) => {
        const bytes = pattern(2048, i);
        wanted.set(bytes, i * 512); // three sectors of it are the next one's
        return client.write(i * 512, bytes).then(() => ends++);
      });
      await Promise.all(writes);
      assertEquals(ends, count);
      assertEquals(differsAt(await client.read(0, CAPACITY), wanted), -1);
      assertEquals(model.lives.length, 3);
      for (const life of model.lives) {
        assertEquals(life, life.toSorted((a, b) => a - b));
        assertEquals(new Set(life).size, life.length, "one was written twice in one life");
      }
      assertEquals(kernel.devices.length, 1, disk.address);
    }
  }
});

Deno.test("driver in a process that throws once in rung goes on", async () => {
  const life = Object.assign(new EntropyModel(), { config: new Uint8Array(4) });
  using plugin = fixture(
    entropyDriver({
      load: "let life = 0;",
      plan: `life = offer.config.u8(0); return ${PLAN};`,
      rung: `${WORK} if (life === 0 && requests.counters.completed > 5) throw new Error("once");`,
    }),
    { manifest: { config: { life: "u8" } } },
  );
  const lines: string[] = [];
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [life],
    plugins: [plugin.folder],
    log(line) {
      lines.push(line);
      if (line.includes("starting anew")) life.config[0] = 1;
    },
  });
  const random = await kernel.attachFirst("entropy");
  const all = await Promise.all(Array.from({ length: 100 }, () => random.client.read(4096)));
  assertEquals(new Set(all.map((bytes) => bytes.toHex())).size, all.length);
  assertEquals((await random.describe()).restarts, 1, lines.join("\n"));
  assert(lines.some((line) => /starting anew: .*Error: once/.test(line)));
});

Deno.test("driver in a process that throws whenever it works: it is given up #core:P-33", async () => {
  using plugin = fixture(entropyDriver({ rung: `${WORK} throw new Error("always");` }));
  await using kernel = await openKernel({
    machine: "simulated",
    plugins: [plugin.folder],
    restarts: 2,
  });
  const random = await kernel.attachFirst("entropy");
  const reads = Promise.allSettled(Array.from({ length: 30 }, () => random.client.read(64)));
  for (;;) {
    const one = await random.client.read(64).then(() => undefined, (error: Error) => error);
    if (!one) continue;
    assert(one instanceof RequestError && one.status === Status.gone, String(one));
    break;
  }
  await reads;
  assertMatch(await random.gone ?? "", /driver failed: Error: always/);
  assertEquals((await random.describe()).restarts, 2);
});

for (const isolation of ["process", "inline"] as const) {
  for (const interrupts of ["msix", "shared", "intx", "polling"] as const) {
    for (const transport of ["modern", "legacy"] as const) {
      const how = `${isolation}, ${interrupts}, ${transport}`;
      qemuTest(`the machine is reset under load: no request fails (${how})`, async () => {
        const mode = transport === "modern" ? "disable-legacy=on" : "disable-modern=on";
        const form = `,disable-legacy=off,${mode}`;
        const left = await leftovers(async () => {
          using file = new FileDisk("disk", CAPACITY, form);
          {
            await using kernel = await openQemuKernel(
              [...file.arguments, "-device", `virtio-rng-pci,id=rng${form}`],
              { isolation, interrupts, requestDeadline: 1500 },
            );
            const disk = await kernel.attachFirst("block");
            const random = await kernel.attachFirst("entropy");
            const load = new SlotLoad(disk.client);
            let over = false;
            let reads = 0;
            const reading = (async () => {
              for (; !over; reads++) assertEquals((await random.client.read(64)).length, 64);
            })();
            reading.catch(() => {});
            for (let resets = 1; resets <= 2; resets++) {
              await load.progress();
              qmpOf(kernel).execute("system_reset");
              await comesBack(disk, resets);
              await comesBack(random, resets);
              await load.progress();
            }
            over = true;
            await reading;
            assert(reads > 0);
            await load.finish();
            assertEquals(load.failures, []);
            assertEquals(differsAt(await disk.client.read(0, CAPACITY), load.wanted), -1);
            for (const [device, id] of [[disk, "disk"], [random, "rng"]] as const) {
              const view = await agrees(kernel, device, { id });
              assertEquals([view.interrupts, view.transport], [interrupts, transport]);
              assertEquals(view.restarts, 2);
            }
            file.wanted.set(load.wanted);
          }
          assertEquals(file.differsAt(), -1);
        });
        assertEquals(left, []);
      });
    }
  }
}

qemuTest(
  "a driver that was killed comes back to a device that has many requests under way",
  async () => {
    for (const interrupts of ["msix", "intx"] as const) {
      await using kernel = await openQemuKernel([
        ...["-blockdev", `driver=null-co,size=${CAPACITY},latency-ns=100000000,node-name=disk`],
        ...["-device", "virtio-blk-pci,id=disk,drive=disk,num-queues=4"],
      ], { interrupts });
      const disk = await kernel.attachFirst("block");
      const requests = Array.from(
        { length: 100 },
        (_, i) => disk.client.write(i * 512, new Uint8Array(512)),
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
      Deno.kill(disk.pid!, "SIGKILL");
      await Promise.all(requests);
      assertEquals((await agrees(kernel, disk, { id: "disk" })).restarts, 1);
    }
  },
);
