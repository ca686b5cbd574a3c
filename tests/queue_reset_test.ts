/**
 * A queue that is reset while it works, because its driver wants that: nothing is lost, nothing comes twice.
 *
 * @module
 */

import { delay } from "@std/async";
import { assert, assertEquals } from "@std/assert";
import randomManifest from "@virtio/random/plugin.json" with { type: "json" };
import { EntropyModel } from "@virtio/random/model";
import { checkManifest } from "../core/plugin/check_manifest.ts";
import { definePlugin, type Plugin, Status, Word } from "../core/plugin/mod.ts";
import { openKernel, type OpenOptions } from "../mod.ts";
import "./support/libc.ts";
import { withoutQemu } from "./support/machine.ts";
import { testWith } from "./support/needs.ts";

const MACHINES: Readonly<Record<string, OpenOptions>> = {
  simulated: { machine: "simulated", devices: [new EntropyModel()] },
  "qemu, split ring": {
    machine: "qemu",
    qemu: { arguments: ["-device", "virtio-rng-pci,disable-legacy=on"] },
  },
  "qemu, packed ring": {
    machine: "qemu",
    qemu: { arguments: ["-device", "virtio-rng-pci,disable-legacy=on,packed=on"] },
  },
};

for (const [name, options] of Object.entries(MACHINES)) {
  const obstacle = name === "simulated" ? undefined : withoutQemu;
  const title = `resetQueue(): requests in flight are committed again (${name})`;
  testWith(obstacle, title, () => resetOverAndOver(name, options));
}

/** Reads while the queue is reset again and again. */
async function resetOverAndOver(name: string, options: OpenOptions): Promise<void> {
  const seen = { resets: 0, offered: false };
  await using kernel = await openKernel({
    ...options,
    isolation: "inline",
    drivers: [{
      manifest: checkManifest(randomManifest, "test"),
      entry: "unused:",
      plugin: restless(seen),
    }],
  });
  const { client } = await kernel.attachFirst("entropy");
  const ended = await Promise.all(Array.from({ length: 200 }, () => client.read(100)));
  assertEquals(ended.map(({ length }) => length), Array(200).fill(100));
  // A device that offers it must have been put through it, over and over.
  if (seen.offered) assert(seen.resets > 3, `${seen.resets} resets`);
  else assertEquals(name, "simulated");
  // The client asks ahead of its readers, now and then: what it asks for ends, too.
  const inFlight = async () => (await kernel.devices[0]!.describe()).queues[0]!.inFlight;
  const deadline = performance.now() + 5000;
  let left = await inFlight();
  while (left !== 0 && performance.now() < deadline) {
    await delay(10);
    left = await inFlight();
  }
  assertEquals(left, 0);
}

/** An entropy driver that has its queue reset after every few requests, whatever is in flight then. */
function restless(seen: { resets: number; offered: boolean }): Plugin {
  return definePlugin({
    plan: () => ({
      queues: { requests: { index: 0, size: 8 } },
      lanes: { requests: { slots: 8, slotBytes: 128 } },
    }),
    start({ queues: { requests }, lanes: { requests: lane }, canResetQueues, resetQueue }) {
      seen.offered = canResetQueues;
      let collected = 0;
      function provide(slot: number): boolean {
        requests.begin(slot);
        requests.writable(lane.offset(slot), lane.word(slot, Word.length));
        return requests.commit();
      }
      return {
        queueReset(_, slots) {
          seen.resets++;
          slots.forEach(provide);
        },
        rung() {
          collected += requests.drain((slot, written) => lane.complete(slot, Status.ok, written));
          lane.take(provide);
          if (!canResetQueues || collected < 10) return;
          collected = 0;
          requests.publish();
          resetQueue("requests");
        },
      };
    },
  });
}
