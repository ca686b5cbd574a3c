/**
 * The balloon on a simulated machine: what QEMU's does not have, hypervisors that lie or lose patience, and devices and
 * drivers that fail.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { delay } from "@std/async";
import { assert, assertEquals } from "@std/assert";
import { BalloonModel, type BalloonOptions } from "@virtio/balloon/model";
import type { BalloonClient } from "../classes/balloon/client.ts";
import { fitted, type Fittings, RING_PACKED } from "../simulation/model.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel, type OpenOptions } from "../mod.ts";
import * as wire from "../plugins/balloon/wire.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";

const ISOLATIONS = ["process", "inline"] as const;
/** Pages of the arena. */
const ARENA = 8 * 256;
const REPORTING = wire.F_PAGE_REPORTING;

interface Balloon extends AsyncDisposable {
  readonly model: BalloonModel;
  readonly device: Device<"balloon">;
  readonly client: BalloonClient;
}

async function open(
  model: BalloonModel,
  { tunables = {}, ...rest }: OpenOptions = {},
): Promise<Balloon> {
  await using stack = new AsyncDisposableStack();
  const kernel = stack.use(
    await openKernel({
      machine: "simulated",
      devices: [model],
      drivers: DRIVERS,
      tunables: { "balloon.arena_mib": 8, ...tunables },
      ...rest,
    }),
  );
  const device = await kernel.attachFirst("balloon");
  const kept = stack.move();
  return {
    model,
    device,
    client: device.client,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Waits until so many pages are in the balloon, by the model's book, by its register, and by the client. */
async function reaches({ client, model }: Balloon, pages: number): Promise<void> {
  const found = () => [client.state.actual, model.actual, model.inflated.size];
  assert(await soon(() => found().every((each) => each === pages)), `${found()}, not ${pages}`);
}

const FORMS: Readonly<Record<string, { fittings: Fittings; legacy?: true }>> = {
  modern: { fittings: {} },
  packed: { fittings: { with: RING_PACKED } },
  transitional: { fittings: { generation: "transitional" }, legacy: true },
  "without MSI-X": { fittings: { vectors: 0 } },
};

for (const isolation of ISOLATIONS) {
  for (const [name, { fittings, ...form }] of Object.entries(FORMS)) {
    Deno.test(
      `balloon: each page goes once and comes back once (${name}, ${isolation}) ` +
        "#balloon:INFLATE #balloon:DEFLATE #balloon:MUST_TELL_HOST #balloon:BATCH",
      async () => {
        const model = fitted(new BalloonModel({ pages: 700 }), fittings);
        await using balloon = await open(model, { isolation, ...form });
        await reaches(balloon, 700);
        assertEquals(model.batches, [256, 256, 188]);
        model.want(100);
        await reaches(balloon, 100);
        assertEquals(model.batches.slice(3), [256, 256, 88]);
        model.want(ARENA / 2);
        await reaches(balloon, ARENA / 2);
        const view = await balloon.device.describe();
        assertEquals(view.transport, form.legacy ? "legacy" : "modern");
        assertEquals([view.interrupts, view.restarts], [
          name === "without MSI-X" ? "intx" : "msix",
          0,
        ]);
        const must = view.features.list.find(({ name }) => name.endsWith("MUST_TELL_HOST"));
        assertEquals(must?.accepted, true);
      },
    );
  }

  Deno.test(
    `balloon: all pages have come back when the device is given back (${isolation}) #balloon:DETACH`,
    async () => {
      const model = new BalloonModel({ pages: 1500 });
      await using balloon = await open(model, { isolation });
      await reaches(balloon, 1500);
      const deflated = model.batches.length;
      await balloon.device[Symbol.asyncDispose]();
      assertEquals(model.actual, 0);
      assertEquals(model.batches.slice(deflated), [256, 256, 256, 256, 256, 220]);
    },
  );

  Deno.test(
    `balloon: statistics are there at the start, and newer ones when asked for (${isolation}) ` +
      "#balloon:STATS_VQ #balloon:stats_tags #balloon:linux_tags #balloon:stats_first",
    async () => {
      const model = new BalloonModel();
      await using balloon = await open(model, { isolation });
      assert(await soon(() => model.given === 1));
      const tags = [...model.statistics.keys()];
      assert(tags.includes(4) && tags.includes(5) && tags.includes(10) && tags.includes(15));
      assertEquals(tags, tags.toSorted((a, b) => a - b));
      assertEquals(model.statistics.get(5), balloon.client.statistics.totalMemory);
      for (let i = 2; i < 5; i++) {
        assert(await soon(() => model.askStatistics()));
        assert(await soon(() => model.given === i));
        assertEquals([...model.statistics.keys()], tags);
      }
    },
  );

  Deno.test(
    `balloon: free pages are reported once, and again when they have come back (${isolation}) ` +
      "#balloon:PAGE_REPORTING #balloon:PAGE_POISON #balloon:poison_val",
    async () => {
      const poison_val = 0xdeadbeef;
      const model = new BalloonModel();
      await using balloon = await open(model, {
        isolation,
        tunables: { "balloon.poison_val": poison_val },
      });
      assertEquals(model.poison, poison_val);
      const bytes = (pages: number) => pages * wire.PAGE_BYTES;
      assert(await soon(() => model.reported === bytes(ARENA)), `${model.reported}`);
      model.want(300);
      await reaches(balloon, 300);
      model.want(40);
      await reaches(balloon, 40);
      assert(await soon(() => model.reported === bytes(ARENA + 260)), `${model.reported}`);
      assertEquals((await balloon.device.describe()).statistics.reported_pages, ARENA + 260);
    },
  );

  Deno.test(
    `balloon: hints are given in rounds, and pages held until the hypervisor is done (${isolation}) ` +
      "#balloon:FREE_PAGE_HINT #balloon:hint_DONE #balloon:hint_STOP",
    async () => {
      const features = wire.F_FREE_PAGE_HINT | wire.F_STATS_VQ;
      const model = new BalloonModel({ features, pages: 500 });
      await using balloon = await open(model, { isolation });
      await reaches(balloon, 500);
      // The driver learns a little later than the device what the device has.
      const holds = async (pages: number) => {
        const deadline = performance.now() + 60_000;
        for (;;) {
          const { hint_pages_held: held } = (await balloon.device.describe()).statistics;
          if (held === pages || performance.now() > deadline) return assertEquals(held, pages);
          await delay(10);
        }
      };
      for (const round of [2, 3, 0x8000_0000]) {
        model.hint(round);
        assert(await soon(() => model.hinted.round === round && model.hinted.over));
        assertEquals(model.hinted.bytes, (ARENA - 500) * wire.PAGE_BYTES);
        await holds(ARENA - 500);
      }
      model.hint(wire.CMD_ID_STOP);
      await holds(ARENA - 500);
      // They may go into the balloon all the same: the hypervisor does not need what is in them.
      model.want(600);
      await reaches(balloon, 600);
      model.hint(wire.CMD_ID_DONE);
      await holds(0);
    },
  );

  Deno.test(
    `balloon: works with few features and with none (${isolation}) #balloon:num_pages #balloon:actual`,
    async () => {
      for (const features of [0n, wire.F_MUST_TELL_HOST, wire.F_DEFLATE_ON_OOM]) {
        const model = new BalloonModel({ features, pages: 300 });
        await using balloon = await open(model, { isolation });
        await reaches(balloon, 300);
        assertEquals((await balloon.device.describe()).queues.length, 2);
        assertEquals(balloon.client.deflateOnOom, features === wire.F_DEFLATE_ON_OOM);
      }
    },
  );

  Deno.test(
    `balloon: a hypervisor that wants more than there is gets three quarters (D-94, ${isolation}) #balloon:D-94`,
    async () => {
      const model = new BalloonModel({ pages: 2 ** 32 - 1 });
      await using balloon = await open(model, { isolation });
      await reaches(balloon, ARENA * 3 / 4);
    },
  );

  Deno.test(
    `balloon: a hypervisor that changes its mind a thousand times a second makes little work (D-94, ${isolation}) ` +
      "#balloon:D-94",
    async () => {
      const model = new BalloonModel();
      await using balloon = await open(model, { isolation });
      const start = performance.now();
      for (let i = 0; i < 500; i++) {
        model.want(i % 2 === 0 ? 1024 : 0);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      model.want(512);
      await reaches(balloon, 512);
      // Four batches to go all the way, ten times a second.
      const most = 4 * ((performance.now() - start) / 100 + 2);
      assert(model.batches.length <= most, `${model.batches.length} batches, not ${most}`);
      assertEquals((await balloon.device.describe()).restarts, 0);
    },
  );

  Deno.test(
    `balloon: a hypervisor that never has enough of statistics gets them five times a second (D-94, ${isolation}) ` +
      "#balloon:D-94",
    async () => {
      const model = new BalloonModel({ floods: true });
      await using balloon = await open(model, { isolation });
      const start = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1100));
      assert(await soon(() => model.given >= 2), "it gets none");
      const most = (performance.now() - start) / 200 + 2;
      assert(model.given <= most, `${model.given}, not ${most}`);
      model.want(256);
      await reaches(balloon, 256);
    },
  );

  Deno.test(
    `balloon: a hypervisor that begins rounds of hints without end stops no driver (D-94, ${isolation}) ` +
      "#balloon:D-94",
    async () => {
      const model = new BalloonModel();
      await using balloon = await open(model, { isolation });
      let round = 2;
      const end = performance.now() + 500;
      while (performance.now() < end) {
        model.hint(round++);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      model.want(512);
      await reaches(balloon, 512);
      assert(await soon(() => model.hinted.over));
      const { statistics, restarts } = await balloon.device.describe();
      assert(statistics.hint_rounds! <= round && statistics.hint_rounds! >= 1);
      assertEquals(restarts, 0);
    },
  );

  Deno.test(
    `balloon: is filled again when the device asks for a reset (${isolation}) #balloon:replay`,
    async () => {
      const model = new NeedyModel({ pages: 900 });
      await using balloon = await open(model, { isolation });
      await reaches(balloon, 900);
      model.needsReset();
      const restarts = async () => (await balloon.device.describe()).restarts;
      const deadline = performance.now() + 60_000;
      while (await restarts() === 0 && performance.now() < deadline) await delay(10);
      await reaches(balloon, 900);
      assertEquals(await restarts(), 1);
      assertEquals(await balloon.client.reclaim(100), 100);
      await reaches(balloon, 800);
    },
  );
}

/** A balloon that can ask for a reset. */
class NeedyModel extends BalloonModel {
  #device: Parameters<BalloonModel["attach"]>[0] | undefined;

  override attach(device: Parameters<BalloonModel["attach"]>[0]): void {
    super.attach(device);
    this.#device = device;
  }

  needsReset(): void {
    this.#device!.needsReset("it was told to");
  }
}

/** Where the queue of reports is, under which choice of the user; undefined where reports are left alone. */
const PLACES: readonly (readonly [BalloonOptions, indexing: string, place: number | undefined])[] =
  [
    [{ features: REPORTING }, "auto", 4],
    [{ features: REPORTING }, "spec", 4],
    [{ features: REPORTING }, "compact", undefined],
    [{ features: REPORTING, compact: true }, "auto", 2],
    [{ features: REPORTING, compact: true }, "compact", 2],
    [{ features: REPORTING, compact: true }, "spec", undefined],
    [{ features: REPORTING | wire.F_STATS_VQ, compact: true }, "auto", 3],
    [{}, "auto", 4],
    [{ compact: true }, "compact", 4],
  ];

for (const [options, indexing, place] of PLACES) {
  const what = `${
    options.compact ? "without gaps" : "in their places"
  }, features ${options.features}`;
  Deno.test(
    `balloon: queues ${what}, are found where they are (${indexing}) #balloon:QUEUE_INDEX`,
    async () => {
      const model = new BalloonModel({ pages: 300, ...options });
      await using balloon = await open(model, {
        isolation: "inline",
        tunables: { "balloon.queue_indexing": indexing },
      });
      await reaches(balloon, 300);
      const { queues } = await balloon.device.describe();
      assertEquals(queues.find(({ name }) => name === "reports")?.index, place);
      assertEquals(balloon.client.reporting, place !== undefined);
      if (place) assert(await soon(() => model.reported >= (ARENA - 300) * wire.PAGE_BYTES));
    },
  );
}

Deno.test("balloon: a driver that was killed leaves the balloon to the next one #balloon:replay", async () => {
  const model = new BalloonModel({ pages: 900 });
  await using balloon = await open(model);
  await reaches(balloon, 900);
  const { pid } = balloon.device;
  Deno.kill(pid!, "SIGKILL");
  assert(await soon(() => balloon.device.pid !== pid), "no new driver");
  await reaches(balloon, 900);
  assert(await soon(() => model.given >= 2), "no statistics of the new driver");
});

Deno.test("balloon: an arena that is larger than the driver's memory is refused, and it is said what to do", async () => {
  const error = await open(new BalloonModel(), {
    isolation: "inline",
    tunables: { "balloon.arena_mib": 100 },
  }).then(() => undefined, (error: Error) => error);
  assert(error?.message.includes("limits.memoryMiB"), error?.message);
});
