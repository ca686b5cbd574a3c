/**
 * Two devices, each with a domain of its own: a driver that gives its device an address of the other's reaches nothing,
 * and both go on.
 *
 * @module
 */

import { rebind } from "../../machine/mod.ts";
import { assert, assertEquals } from "@std/assert";
import { type Device, type Kernel, openKernel } from "../../mod.ts";
import { fixture } from "../support/plugin.ts";
import { address, check, provokeFaults } from "./support/job.ts";

/**
 * A driver of an entropy source with a page of bait, that no device should write. It tells how many bytes of it are not
 * what they were, and by what address its device knows it. It rewrites descriptors in the ring, as no driver has to.
 *
 * Whenever it is asked for its statistics it goes on to its next deed: it learns where its bait is, serves, spoils its own
 * bait, tries to spoil the other's, and serves again.
 *
 * @param target The address of the other's bait; without, it only learns and serves.
 */
function baiting(target = 0): string {
  return `
import { definePlugin } from "@virtio/deno/plugin";
const BAIT = 0x5a, SLOTS = 8, PAGE_WORDS = 1024;
export default definePlugin({
  plan: () => ({
    queues: { requests: { index: 0, size: SLOTS } },
    lanes: { requests: { slots: SLOTS, slotBytes: 4096 } },
    buffers: { bait: 4096 },
  }),
  start({ queues: { requests }, lanes: { requests: lane }, buffers: { bait } }) {
    const words = new Uint32Array(bait.bytes.buffer);
    let deed = 0, table = 0, own = 0;
    // Nothing else is in the ring yet: the descriptor is the first of its table, which begins a page.
    function learn() {
      const at = words.findIndex((word, i) => i % 4 === 2 && word === bait.bytes.length && words[i - 1] > 0) - 2;
      own = words[at + 1] * 2 ** 32 + words[at];
      table = at - at % PAGE_WORDS;
    }
    function lead(address) {
      for (let at = table; at < table + 4 * SLOTS; at += 4) {
        words[at] = address % 2 ** 32;
        words[at + 1] = Math.floor(address / 2 ** 32);
      }
    }
    return {
      rung() {
        requests.drain((slot, written) => {
          if (deed === 0) bait.bytes.fill(BAIT);
          lane.complete(slot, 0, written);
        });
        lane.take((slot) => {
          requests.begin(slot);
          requests.writable(own === 0 ? bait.offset : lane.offset(slot), 4096);
          if (!requests.commit()) return false;
          if (own === 0) learn();
          if (${target} && deed === 2) lead(own);
          if (${target} && deed === 3) lead(${target});
          return true;
        });
      },
      statistics() {
        deed++;
        return { own, spoilt: bait.bytes.reduce((sum, byte) => sum + (byte !== BAIT ? 1 : 0), 0) };
      },
    };
  },
});
`;
}

const VICTIM = address("rng"), ATTACKER = address("rng intx");
/** More than a client reads ahead, so that it asks anew. */
const MUCH = 128 * 1024;

rebind({ addresses: [VICTIM, ATTACKER], driver: "vfio-pci", force: [], dryRun: false });

interface Baiting {
  readonly device: Device<"entropy">;
  /** Asks about the bait, whereupon the driver goes on to its next deed. */
  next(): Promise<{ readonly own: number; readonly spoilt: number }>;
}

async function bait(kernel: Kernel, address: string): Promise<Baiting> {
  const device = await kernel.attach(address);
  assert(device.class === "entropy");
  await device.client.read(1).catch(() => {}); // What it learns by is no answer.
  return {
    device,
    async next() {
      const { own, spoilt } = (await device.describe()).statistics;
      return { own: own!, spoilt: spoilt! };
    },
  };
}

using honest = fixture(baiting());
await using victims = await openKernel({ plugins: [honest.folder], restarts: 0 });
const victim = await bait(victims, VICTIM);
const { own: target } = await victim.next();

using evil = fixture(baiting(target));
await using attackers = await openKernel({ plugins: [evil.folder], restarts: 0 });
const attacker = await bait(attackers, ATTACKER);

await check("isolation: no two devices know memory by the same address", async () => {
  const { own } = await attacker.next();
  await attacker.device.client.read(MUCH);
  assert(own !== target && target > 0, `${own}, ${target}`);
  return `0x${target.toString(16)} and 0x${own.toString(16)}`;
});
await check("isolation: a rewritten descriptor does lead a device where it says", async () => {
  assertEquals((await attacker.next()).spoilt, 0);
  await attacker.device.client.read(MUCH).catch(() => {});
  const { spoilt } = await attacker.next();
  assert(spoilt > 2048, `${spoilt} bytes`);
  return `${spoilt} bytes`;
});
provokeFaults();
await check("isolation: the other's address leads nowhere #core:P-23", async () => {
  await attacker.device.client.read(MUCH).catch(() => {});
  assertEquals((await victim.next()).spoilt, 0);
});
await check("isolation: both go on", async () => {
  await attacker.next();
  for (const { device } of [attacker, victim]) {
    await device.client.read(MUCH);
    assertEquals((await device.describe()).restarts, 0);
  }
});
