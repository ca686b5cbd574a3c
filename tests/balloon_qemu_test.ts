/**
 * The balloon on QEMU's: what it gives is really taken from the file that QEMU's memory is in, and QEMU says the same of
 * its size as the client.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { delay } from "@std/async";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { BalloonClient } from "../classes/balloon/client.ts";
import type { DeviceDescription } from "../core/kernel/device.ts";
import { capabilities, MSI_X } from "../core/pci/capabilities.ts";
import type { Kernel, OpenOptions } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { eachQemuTest, qemuTest } from "./support/machine.ts";
import { assertQemuHas, openQemuKernel, qmpOf } from "./support/qemu.ts";

const ISOLATIONS = ["process", "inline"] as const;
const MIB = 2 ** 20;
const PAGE = 4096;
/** Bytes of QEMU's memory, as the platform asks for it. */
const MEMORY = 256 * MIB;
/** Pages of the driver's arena. */
const ARENA = 24 * MIB / PAGE;
const TUNABLES = { "balloon.arena_mib": 24 };

/** Balloon device of a QEMU. */
interface Balloon extends AsyncDisposable {
  readonly kernel: Kernel;
  readonly device: Device<"balloon">;
  readonly client: BalloonClient;
}

async function open(
  options: string,
  { before = [], ...rest }: OpenOptions & { readonly before?: readonly string[] } = {},
): Promise<Balloon> {
  const device = `virtio-balloon-pci,id=balloon${options}`;
  const args = [...before, "-device", device];
  const kernel = await openQemuKernel(args, { tunables: TUNABLES, ...rest });
  const balloon = await kernel.attachFirst("balloon");
  return {
    kernel,
    device: balloon,
    client: balloon.client,
    [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
  };
}

/** Makes the hypervisor want so many pages. */
function want({ kernel }: Balloon, pages: number): void {
  qmpOf(kernel).execute("balloon", { value: MEMORY - pages * PAGE });
}

/** Pages that QEMU says are in the balloon. */
function inQemu(kernel: Kernel): number {
  const { actual } = qmpOf(kernel).execute("query-balloon") as { actual: number };
  return (MEMORY - actual) / PAGE;
}

/** Waits until so many pages are in the balloon, by QEMU and by the client. */
async function reaches({ client, kernel }: Balloon, pages: number): Promise<void> {
  const there = () => client.state.actual === pages && inQemu(kernel) === pages;
  assert(await soon(there), `${client.state.actual} and ${inQemu(kernel)} pages, not ${pages}`);
}

/** Pages of QEMU's memory that the system holds: those in the file behind it. */
function backed(): number {
  const files = [...Deno.readDirSync("/proc/self/fd")].flatMap(({ name }) => {
    const path = `/proc/self/fd/${name}`;
    try {
      return Deno.readLinkSync(path).includes("virtio-guest-memory") ? [Deno.statSync(path)] : [];
    } catch {
      return []; // the one that the folder itself was read by
    }
  });
  assertEquals(files.length, 1);
  return files[0]!.blocks! * 512 / PAGE;
}

/** The driver's counters. */
async function counters({ device }: Balloon): Promise<DeviceDescription["statistics"]> {
  return (await device.describe()).statistics;
}

const FORMS = [
  { name: "modern", options: ",disable-legacy=on" },
  { name: "packed", options: ",disable-legacy=on,packed=on" },
  { name: "transitional", options: ",disable-legacy=off,disable-modern=off", legacy: true },
  { name: "legacy", options: ",disable-legacy=off,disable-modern=on" },
] as const;

for (const isolation of ISOLATIONS) {
  for (const { name, options, ...form } of FORMS) {
    eachQemuTest(
      `balloon: pages go and come back as QEMU wants (${name}, ${isolation}) ` +
        "#balloon:INFLATE #balloon:DEFLATE #balloon:num_pages #balloon:actual #balloon:BATCH #balloon:sysctl",
      async () => {
        await using balloon = await open(options, { isolation, ...form });
        const { device, kernel } = balloon;
        await reaches(balloon, 0);
        const before = backed();
        assert(before >= ARENA, `${before} pages`);
        want(balloon, 3000);
        await reaches(balloon, 3000);
        assert(before - backed() >= 3000, `${before - backed()} pages left the file`);
        want(balloon, 300);
        await reaches(balloon, 300);
        want(balloon, 1000);
        await reaches(balloon, 1000);

        const view = await device.describe();
        assertQemuHas(kernel, "balloon", view);
        assertEquals(view.transport, name === "modern" || name === "packed" ? "modern" : "legacy");
        // Of QEMU 7.2 it has no MSI-X.
        const { config } = kernel.nodes.find(({ manifest }) => manifest?.class === "balloon")!
          .function;
        const hasMsix = capabilities(config).some(({ id }) => id === MSI_X);
        assertEquals([view.interrupts, view.restarts], [hasMsix ? "msix" : "intx", 0]);
        const [inflate, deflate] = view.queues;
        assertEquals(inflate!.kind, name === "packed" ? "packed" : "split");
        // In batches of 256: 3000 and 700 pages went, 2700 came back.
        assertEquals([inflate!.completed, deflate!.completed], [12 + 3, 11]);
        const { desired, current, balloon_inflate, balloon_deflate } = view.statistics;
        assertEquals([desired, current, balloon_inflate, balloon_deflate], [
          1000,
          1000,
          3700,
          2700,
        ]);
      },
    );
  }

  qemuTest(
    `balloon: works where nothing interrupts (${isolation}) #balloon:polling`,
    async () => {
      await using balloon = await open("", { isolation, interrupts: "polling" });
      want(balloon, 700);
      await reaches(balloon, 700);
      assertEquals((await balloon.device.describe()).interrupts, "polling");
    },
  );

  qemuTest(
    `balloon: no more than the arena less a quarter is given, whatever QEMU wants (${isolation}) ` +
      "#balloon:D-94 #balloon:floor",
    async () => {
      await using balloon = await open("", { isolation });
      const { client } = balloon;
      want(balloon, MEMORY / PAGE - 256);
      await reaches(balloon, ARENA * 3 / 4);
      assertEquals(client.state, {
        requested: MEMORY / PAGE - 256,
        target: ARENA * 3 / 4,
        actual: ARENA * 3 / 4,
      });
      client.floor = ARENA - 100;
      await reaches(balloon, 100);
    },
  );

  eachQemuTest(
    `balloon: QEMU reads statistics of this machine (${isolation}) ` +
      "#balloon:STATS_VQ #balloon:stats_tags",
    async () => {
      await using balloon = await open("", { isolation });
      const qmp = qmpOf(balloon.kernel);
      const path = "/machine/peripheral/balloon";
      qmp.execute("qom-set", { path, property: "guest-stats-polling-interval", value: 1 });
      const read = () =>
        qmp.execute("qom-get", { path, property: "guest-stats" }) as {
          "last-update": number;
          stats: Readonly<Record<string, number>>;
        };
      assert(await soon(() => read()["last-update"] > 0), "no statistics");
      const first = read();
      const total = Number(/MemTotal: +(\d+)/.exec(Deno.readTextFileSync("/proc/meminfo"))![1]);
      assertEquals(first.stats["stat-total-memory"], total * 1024);
      // 2^64-1 is what QEMU says of a figure that it was not given.
      for (const [name, value] of Object.entries(first.stats)) assert(value < 2 ** 60, name);
      assert(first.stats["stat-free-memory"]! > 0);
      // It asks again, and gets newer ones.
      assert(
        await soon(() => read()["last-update"] > first["last-update"] + 1),
        "no newer statistics",
      );
      assert(read().stats["stat-minor-faults"]! > first.stats["stat-minor-faults"]!);
      assert((await counters(balloon)).stats_requests! >= 1);
    },
  );

  qemuTest(
    `balloon: pages are reclaimed where QEMU allows it, until it wants another size (${isolation}) ` +
      "#balloon:DEFLATE_ON_OOM",
    async () => {
      await using balloon = await open(",deflate-on-oom=on", { isolation });
      const { client } = balloon;
      assert(client.deflateOnOom);
      want(balloon, 2000);
      await reaches(balloon, 2000);
      assertEquals(await client.reclaim(300), 300);
      await reaches(balloon, 1700);
      assertEquals(await client.reclaim(50), 50);
      await reaches(balloon, 1650);
      want(balloon, 2100);
      await reaches(balloon, 2100);
      assertEquals(await client.reclaim(ARENA), 2100);
      await reaches(balloon, 0);
    },
  );

  qemuTest(
    `balloon: nothing is reclaimed where QEMU does not allow it (${isolation})`,
    async () => {
      await using balloon = await open("", { isolation });
      want(balloon, 500);
      await reaches(balloon, 500);
      const refused = () => balloon.client.reclaim(10);
      await assertRejects(refused, TypeError, "VIRTIO_BALLOON_F_DEFLATE_ON_OOM");
      await reaches(balloon, 500);
    },
  );

  eachQemuTest(
    `balloon: free pages are reported, and leave the file (${isolation}) ` +
      "#balloon:PAGE_REPORTING #balloon:PAGE_POISON #balloon:QUEUE_INDEX",
    async () => {
      // Where there are no hints, QEMU has the queue of reports in their place.
      for (
        const { options, before = [], index } of [
          { options: ",free-page-reporting=on", index: 3 },
          { options: ",free-page-reporting=on,page-poison=off", index: 3 },
          {
            options: ",free-page-reporting=on,free-page-hint=on,iothread=thread",
            before: ["-object", "iothread,id=thread"],
            index: 4,
          },
        ]
      ) {
        await using balloon = await open(options, { isolation, before });
        const { device } = balloon;
        assert(await soon(() => backed() < 1000), `${backed()} pages are in the file`);
        want(balloon, 3000);
        await reaches(balloon, 3000);
        want(balloon, 1000);
        await reaches(balloon, 1000);
        assert(await soon(() => backed() < 1000), `${backed()} pages are in the file`);
        const view = await device.describe();
        const reports = view.queues.find(({ name }) => name === "reports");
        assertEquals([reports!.index, view.restarts], [index, 0]);
        assert(view.statistics.reported_pages! >= ARENA - 3000);
        const poison = view.features.list.find(({ name }) => name.endsWith("PAGE_POISON"));
        assertEquals(poison?.accepted, options.includes("poison=off") ? undefined : true);
      }
    },
  );

  eachQemuTest(
    `balloon: QEMU is hinted at free pages while it moves the machine (${isolation}) ` +
      "#balloon:FREE_PAGE_HINT #balloon:hint_DONE",
    async () => {
      await using balloon = await open(",free-page-hint=on,iothread=thread", {
        isolation,
        // A machine with ivshmem can be moved only if that stays behind.
        before: ["-object", "iothread,id=thread", "-global", "ivshmem-doorbell.master=on"],
      });
      const qmp = qmpOf(balloon.kernel);
      want(balloon, 1000);
      await reaches(balloon, 1000);
      assertEquals((await counters(balloon)).hint_rounds, 0);
      qmp.execute("migrate-set-parameters", { "max-bandwidth": 1024 * MIB });
      qmp.execute("migrate", { uri: "exec:cat >/dev/null" });
      const status = () => (qmp.execute("query-migrate") as { status: string }).status;
      assert(await soon(() => status() === "completed"), status());
      qmp.execute("cont");
      const deadline = performance.now() + 20_000;
      let counted = await counters(balloon);
      while (counted.hint_pages_held !== 0 && performance.now() < deadline) {
        await delay(10);
        counted = await counters(balloon);
      }
      const { hint_rounds, hinted_pages, hint_pages_held } = counted;
      assert(hint_rounds! >= 1 && hinted_pages! >= ARENA - 1000, JSON.stringify(counted));
      assertEquals(hint_pages_held, 0);
      want(balloon, 2000);
      await reaches(balloon, 2000);
      assertEquals((await balloon.device.describe()).restarts, 0);
    },
  );

  qemuTest(
    `balloon: is filled again after the machine was reset (${isolation}) #balloon:replay`,
    async () => {
      await using balloon = await open("", { isolation });
      want(balloon, 1500);
      await reaches(balloon, 1500);
      qmpOf(balloon.kernel).execute("system_reset");
      const restarted = async () => (await balloon.device.describe()).restarts;
      const deadline = performance.now() + 10_000;
      while (await restarted() === 0 && performance.now() < deadline) await delay(10);
      assertEquals(await restarted(), 1);
      await reaches(balloon, 1500);
      want(balloon, 100);
      await reaches(balloon, 100);
    },
  );

  qemuTest(
    `balloon: is empty when its device is given back (${isolation}) #balloon:DETACH`,
    async () => {
      await using balloon = await open("", { isolation });
      want(balloon, 4000);
      await reaches(balloon, 4000);
      await balloon.device[Symbol.asyncDispose]();
      assertEquals(inQemu(balloon.kernel), 0);
    },
  );
}

qemuTest("balloon: is filled again by a driver that was killed #balloon:replay", async () => {
  await using balloon = await open("");
  const { device } = balloon;
  want(balloon, 1500);
  await reaches(balloon, 1500);
  const { pid } = device;
  Deno.kill(pid!, "SIGKILL");
  assert(await soon(() => device.pid !== pid), "no new driver");
  await reaches(balloon, 1500);
  assertEquals((await device.describe()).restarts, 1);
});
