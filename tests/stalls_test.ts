/**
 * No wait times out while used entries are there: bursts by every kind of interrupt and by polling, at devices of three
 * kinds, where nothing looks by itself for a minute. `BURSTS=1000000 deno test -A tests/stalls_test.ts` makes a million of
 * each.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { NetModel } from "@virtio/vtnet/model";
import { BlockOperation } from "../classes/block/mod.ts";
import type { ClientLane } from "../core/bus/client_lane.ts";
import { Status } from "../core/bus/lane.ts";
import { defineClass, type DeviceClass } from "../core/class/mod.ts";
import { definePlugin } from "../core/plugin/mod.ts";
import type { InterruptKind } from "../core/binding/interrupt_kind.ts";
import { checkManifest, type Kernel, openKernel, type OpenOptions } from "../mod.ts";
import {
  Folder,
  StorageDaemon,
  Testpmd,
  withoutDaemon,
  withoutTestpmd,
} from "./support/back_ends.ts";
import { frameBursts, readBursts, STALL, type Waiting } from "./support/bursts.ts";
import { lie, lying } from "../simulation/hostile.ts";
import "./support/libc.ts";
import { soon } from "./support/leaks.ts";
import { testWith } from "./support/needs.ts";

/** Reads, and frames, of each test. */
const COUNT = Number(Deno.env.get("BURSTS") ?? 2000);
/** Nothing looks by itself for so long, in milliseconds: what is lost stays lost. */
const WATCH = 60_000;

const HOW: readonly (readonly [isolation: "process" | "inline", waiting: Waiting])[] = [
  ["process", "promises"],
  ["process", "wait"],
  ["inline", "promises"],
  ["inline", "wait"],
];

/** Does it in both hosts, and waits in both ways. */
async function bothHosts(
  options: OpenOptions,
  interrupts: InterruptKind,
  use: (kernel: Kernel, waiting: Waiting) => Promise<number>,
): Promise<void> {
  for (const [isolation, waiting] of HOW) {
    await using kernel = await openKernel({ ...options, isolation, interrupts, watch: WATCH });
    const begin = performance.now();
    const bursts = await use(kernel, waiting);
    const seconds = (performance.now() - begin) / 1000;
    assertEquals((await kernel.devices[0]!.describe()).interrupts, interrupts);
    assertEquals((await kernel.devices[0]!.describe()).restarts, 0);
    if (COUNT > 10_000) {
      console.log(
        `${interrupts} ${isolation} ${waiting}: ${COUNT / HOW.length} in ${bursts} bursts, ${
          seconds.toFixed(1)
        } s`,
      );
    }
  }
}

const reads = async (kernel: Kernel, waiting: Waiting) =>
  await readBursts((await kernel.attachFirst("block")).client, COUNT / HOW.length, waiting);
const frames = (returns: boolean) => async (kernel: Kernel, waiting: Waiting) =>
  await frameBursts(
    (await kernel.attachFirst("network")).client,
    COUNT / HOW.length,
    waiting,
    returns,
  );

for (const interrupts of ["msix", "polling"] as const) {
  testWith(
    withoutDaemon,
    `no wait times out while reads are there (storage daemon, ${interrupts}) #core:no_stall`,
    async () => {
      using folder = new Folder();
      const socket = folder.of("disk");
      await using _daemon = await StorageDaemon.start({
        socket,
        disk: "driver=null-co,size=1048576",
      });
      await bothHosts(
        { machine: "vhost-user", vhostUser: [{ kind: "blk", socket }] },
        interrupts,
        reads,
      );
    },
  );

  testWith(
    withoutTestpmd,
    `no wait times out while frames are there (DPDK, ${interrupts}) #core:no_stall`,
    async () => {
      using folder = new Folder();
      const socket = folder.of("net");
      await using _testpmd = await Testpmd.start({ socket });
      await bothHosts(
        { machine: "vhost-user", vhostUser: [{ kind: "net", socket }] },
        interrupts,
        frames(true),
      );
    },
  );
}

for (const interrupts of ["msix", "intx", "polling"] as const) {
  Deno.test(`no wait times out while reads and frames are there (simulated, ${interrupts}) #core:no_stall`, async () => {
    await bothHosts(
      { machine: "simulated", devices: [new DiskModel({ capacity: 1 << 20 })] },
      interrupts,
      reads,
    );
    await bothHosts({ machine: "simulated", devices: [new NetModel()] }, interrupts, frames(false));
  });
}

Deno.test("a driver that ends requests at once rings for what its client took already, and is at no fault #core:no_stall", async () => {
  const lane: DeviceClass<ClientLane> = defineClass({
    lanes: ["requests"],
    open: ({ requests }) => ({ client: requests }),
  });
  const plugin = definePlugin({
    plan: () => ({
      queues: { requests: { index: 0, size: 8 } },
      lanes: { requests: { slots: 8, slotBytes: 64 } },
    }),
    start: ({ lanes: { requests } }) => ({
      rung: () =>
        requests.take((slot) => {
          requests.complete(slot, Status.ok, 0);
          return true;
        }),
    }),
  });
  const manifest = checkManifest({
    name: "prompt",
    entry: "./mod.ts",
    class: "lane",
    match: [{ vendor: "1af4", device: "1044" }],
  }, "plugin.json");
  const notices: string[] = [];
  await using kernel = await openKernel({
    machine: "simulated",
    drivers: [{ manifest, entry: "file:///nowhere/mod.ts", plugin }],
    classes: { lane },
    isolation: "inline",
    notice: (line) => notices.push(line),
  });
  const { client: requests } = await kernel.attachFirst("lane");
  for (let i = 0; i < 1000; i++) {
    const slot = requests.take();
    requests.submit(slot, (slot) => requests.release(slot));
    requests.publish();
    assertEquals(requests.wait(STALL), 1);
  }
  // What is wrong with it would be told when this thread comes to it.
  await soon(() => notices.length > 0, 300);
  assertEquals(notices, []);
});

// A client that waits in the thread of a driver sees for itself what is there.
for (const [isolation, waiting] of HOW.slice(0, 3)) {
  Deno.test(`a device that never interrupts is found by a burst (${isolation}, ${waiting}) #core:no_stall`, async () => {
    await using kernel = await openKernel({
      machine: "simulated",
      // Late answers find a driver that has looked for them long enough, and sleeps.
      devices: [lying(new DiskModel({ capacity: 1 << 20 }), lie("D-68"), lie("D-66"))],
      isolation,
      watch: WATCH,
    });
    const { client } = await kernel.attachFirst("block");
    await assertRejects(
      () => readBursts(client, COUNT, waiting, 500),
      Error,
      "500 ms",
    );
  });
}

for (const [isolation, waiting] of HOW) {
  Deno.test(`a device that says too late that it wants to be notified is told again (${isolation}, ${waiting}) #core:no_stall`, async () => {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [lying(new DiskModel({ capacity: 1 << 20 }), lie("D-59"))],
      isolation,
      watch: 20,
    });
    const { client } = await kernel.attachFirst("block");
    await readBursts(client, 50, waiting, 20_000);
  });
}

for (const isolation of ["process", "inline"] as const) {
  Deno.test(`a device on the thread of its client works while that only looks (${isolation}) #core:no_stall`, async () => {
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [new DiskModel({ capacity: 1 << 20 })],
      isolation,
      watch: WATCH,
    });
    const { client: { slots } } = await kernel.attachFirst("block");
    const slot = slots.take();
    slots.submit(slot, BlockOperation.read, 0, 512, (slot) => slots.release(slot));
    slots.publish();
    const end = performance.now() + STALL;
    while (slots.wait(0) === 0) assert(performance.now() < end, "it does not work meanwhile");
  });
}
