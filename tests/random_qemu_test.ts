/**
 * The entropy source on QEMU's: every form of it, one that is short of bytes, and several at once.
 *
 * @module
 */

import { mixEntropy } from "../classes/entropy/mod.ts";
import type { Device } from "../classes.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { RequestError } from "../core/bus/request_error.ts";
import "./support/libc.ts";
import { eachQemuTest, qemuTest } from "./support/machine.ts";
import { agrees, openQemuKernel, useEntropy } from "./support/qemu.ts";

const FORMS = [
  { name: "modern", options: "disable-legacy=on" },
  { name: "packed", options: "disable-legacy=on,packed=on" },
  { name: "transitional", options: "disable-legacy=off,disable-modern=off", legacy: true },
  { name: "legacy", options: "disable-legacy=off,disable-modern=on" },
] as const;

for (const isolation of ["process", "inline"] as const) {
  for (const { name, options, ...form } of FORMS) {
    eachQemuTest(
      `random: gives good bytes (${name}, ${isolation}) #random:requests #random:prefetch ` +
        "#random:statistics",
      async () => {
        const device = `virtio-rng-pci,id=rng,${options}`;
        await using kernel = await openQemuKernel(["-device", device], { isolation, ...form });
        const random = await kernel.attachFirst("entropy");
        await useEntropy(random.client);
        assertEquals((await random.client.read(1_000_000)).length, 1_000_000);
        const { health } = random.client;
        assertEquals([health.state, health.empty], ["good", 0]);
        assertEquals(Object.values(health.failures), [0, 0, 0]);
        const view = await agrees(kernel, random, { id: "rng", descriptors: 1 });
        const { answers, bytes, empty_answers } = view.statistics;
        assert(answers! >= 1_000_000 / 4096 && bytes! >= 1_000_000, `${answers} ${bytes}`);
        assertEquals([empty_answers, view.restarts], [0, 0]);
        const handedOut = 1_000_000 + 1 + 31 + 4096 + 20_000 + 40 * 64 + 4096;
        assertEquals(random.client.health.ahead, bytes! - handedOut);
      },
    );
  }

  qemuTest(
    `random: one that is short of bytes is waited for, and not hurried (${isolation}) ` +
      "#random:rate_limit",
    async () => {
      // 64 bytes each 100 ms.
      const device = "virtio-rng-pci,disable-legacy=on,max-bytes=64,period=100";
      await using kernel = await openQemuKernel(["-device", device], { isolation });
      const random = await kernel.attachFirst("entropy");
      const start = performance.now();
      const bytes = await random.client.read(640);
      assert(performance.now() - start > 700, "it waited");
      assertEquals(bytes.length, 640);
      const { queues, statistics, restarts } = await random.describe();
      // One request at a time, each notified once, or a few times more while it waits.
      assert(statistics.answers! <= 12, `${statistics.answers} answers`);
      assert(queues[0]!.notifications! <= 4 * 13, `${queues[0]!.notifications} notifications`);
      assertEquals([statistics.empty_answers, restarts], [0, 0]);
    },
  );

  qemuTest(
    `random: one that waits for bytes is given back at once, and its readers told (${isolation}) ` +
      "#random:DETACH",
    async () => {
      const device = "virtio-rng-pci,disable-legacy=on,max-bytes=1,period=100000";
      await using kernel = await openQemuKernel(["-device", device], { isolation });
      const random = await kernel.attachFirst("entropy");
      // The first byte comes at once, the second one not before all is over.
      const read = assertRejects(() => random.client.read(2), RequestError, "gone");
      await random.client.read(0);
      await random[Symbol.asyncDispose]();
      await read;
    },
  );
}

qemuTest("random: several are mixed #random:instances #random:mix", async () => {
  await using kernel = await openQemuKernel(
    Array.from({ length: 3 }, () => ["-device", "virtio-rng-pci,disable-legacy=on"]).flat(),
    { isolation: "inline" },
  );
  const sources: Device<"entropy">[] = [];
  for (let i = 0; i < 3; i++) sources.push(await kernel.attachFirst("entropy"));
  for (const local of [true, false]) {
    const mixed = mixEntropy(sources.map(({ client }) => client), { local });
    const bytes = await mixed.read(10_000);
    assertEquals([bytes.length, new Set(bytes).size], [10_000, 256]);
  }
  for (const { client } of sources) assert(client.health.bytes >= 20_000);
  await sources[1]![Symbol.asyncDispose]();
  const clients = sources.map(({ client }) => client);
  await assertRejects(() => mixEntropy(clients).read(64), AggregateError, "2 of 3 sources");
  assertEquals((await mixEntropy(clients, { least: 2 }).read(64)).length, 64);
});
