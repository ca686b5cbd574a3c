/**
 * DPDK's testpmd as a network card, by vhost-user: the foreign device that answers in order.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { NetClient } from "../classes/network/client.ts";
import type { Device } from "../classes.ts";
import { type AnyDevice, bit, Feature, openKernel, type OpenOptions } from "../mod.ts";
import { Folder, Testpmd, withoutTestpmd } from "./support/back_ends.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";
import { within } from "./support/net.ts";
import { program, run } from "./support/program.ts";
import { differsAt } from "./support/qemu.ts";

const MAC = "52:54:00:12:34:56";
/** No more are on their way at once than the card's driver has buffers for. */
const AT_ONCE = 64;
const FRAMES = 500;

/** Frame number so many of a flow: all sizes come in turn, up to the longest. */
function frame(number: number, flow = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(60 + number * 37 % (1514 - 59));
  bytes.fill(number & 0xff);
  bytes.set([0x52, 0x54, 0, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
  new DataView(bytes.buffer).setUint32(14, number);
  // Where IPv4 would have the addresses and ports that tell flows apart.
  bytes.fill(0, 26, 38);
  bytes[28] = flow;
  return bytes;
}

/** Sends frames and gets each back as it was, in its order. Returns the pairs of queues that they came by. */
async function loop(client: NetClient, count: number, flow = 0): Promise<Set<number>> {
  using frames = client.frames();
  const pairs = new Set<number>();
  for (let begun = 0; begun < count; begun += AT_ONCE) {
    const numbers = Array.from({ length: Math.min(AT_ONCE, count - begun) }, (_, i) => begun + i);
    await Promise.all(numbers.map((number) => client.send(frame(number, flow))));
    for (const number of numbers) {
      const { value } = await within(`frame ${number}`, frames.next());
      assertEquals(differsAt(value!.bytes, frame(number, flow)), -1, `frame ${number}`);
      pairs.add(value!.pair);
    }
  }
  return pairs;
}

/** A card of testpmd that is there already, and its kernel. */
async function useCard(
  socket: string,
  options: OpenOptions,
  use: (card: Device<"network">) => Promise<void>,
  device: { readonly listen?: boolean; readonly pairs?: number } = {},
): Promise<void> {
  const left = await leftovers(async () => {
    await using kernel = await openKernel({
      machine: "vhost-user",
      vhostUser: [{ kind: "net", socket, mac: MAC, ...device }],
      ...options,
    });
    assertEquals(kernel.nodes[0]?.function.refusal, undefined);
    await use(await kernel.attachFirst("network"));
  });
  assertEquals(left, []);
}

/** Whether device and driver agreed on a feature. */
async function agreed(card: AnyDevice, feature: number): Promise<boolean> {
  return (BigInt((await card.describe()).features.accepted) & bit(feature)) !== 0n;
}

const RINGS = {
  "split": bit(Feature.RING_PACKED) | bit(Feature.IN_ORDER),
  "split in order": bit(Feature.RING_PACKED),
  "packed": bit(Feature.IN_ORDER),
  "packed in order": 0n,
};

for (const isolation of ["process", "inline"] as const) {
  testWith(
    withoutTestpmd,
    `vhost-user: frames of all sizes come back from DPDK by every kind of ring (${isolation}) #core:vhost_user_dpdk`,
    async (t) => {
      using folder = new Folder();
      const socket = folder.of("net");
      await using testpmd = await Testpmd.start({ socket });
      for (const [rings, without] of Object.entries(RINGS)) {
        await t.step(rings, () =>
          useCard(socket, { isolation, without }, async (card) => {
            assertEquals(card.client.mac.toHex(), MAC.replaceAll(":", ""));
            assertEquals(await agreed(card, Feature.RING_PACKED), rings.startsWith("packed"));
            assertEquals(await agreed(card, Feature.IN_ORDER), rings.endsWith("in order"));
            // What comes before it looks at new rings is lost.
            await within("a frame", settle(card.client), 30_000);
            await loop(card.client, FRAMES);
          }));
      }
      const all = FRAMES * Object.keys(RINGS).length;
      const { received, sent } = await testpmd.quit();
      assert(received >= all && sent >= all, `${received} received, ${sent} sent of ${all}`);
    },
  );
}

testWith(
  withoutTestpmd,
  "vhost-user: DPDK connects to us, is killed, and connects again: the card goes on #core:vhost_user_dpdk",
  async () => {
    using folder = new Folder();
    const socket = folder.of("net");
    await using first = await Testpmd.start({ socket, connects: true });
    await useCard(socket, { restarts: 10 }, async (card) => {
      await loop(card.client, FRAMES);
      await first.kill();
      await using _second = await Testpmd.start({ socket, connects: true });
      const restarted = async () => (await card.describe()).restarts > 0;
      while (!await within("the card's return", restarted())) await soon(() => false, 50);
      // Those that were on their way are lost, as on a wire.
      await within("a frame", settle(card.client), 30_000);
      await loop(card.client, FRAMES);
    }, { listen: true });
    assertEquals([...Deno.readDirSync(folder.path)], []);
  },
);

/** Sends a frame again and again, until it comes back. */
async function settle(client: NetClient): Promise<void> {
  using frames = client.frames();
  let came = false;
  const coming = frames.next().then(() => came = true);
  while (!came) {
    await client.send(frame(1)).catch(() => {});
    await soon(() => came, 100);
  }
  await coming;
}

const PAIRS = 3;

testWith(
  withoutTestpmd,
  "vhost-user: several pairs of queues with DPDK: each flow comes back by its pair #core:vhost_user_pairs",
  async () => {
    using folder = new Folder();
    const socket = folder.of("net");
    await using testpmd = await Testpmd.start({ socket, pairs: PAIRS });
    let sent = 0;
    for (const rings of ["split", "packed in order"] as const) {
      await useCard(socket, { without: RINGS[rings] }, async ({ client }) => {
        assertEquals(client.steering.queuePairs, PAIRS);
        for (const used of [1, PAIRS, 2]) {
          if (used > 1) await client.steering.setQueuePairs(used);
          const pairs = new Set<number>();
          for (let flow = 0; flow < 4; flow++) {
            for (const pair of await loop(client, AT_ONCE, flow)) pairs.add(pair);
            sent += AT_ONCE;
          }
          assertEquals([...pairs].sort(), Array.from({ length: used }, (_, i) => i));
        }
      }, { pairs: PAIRS });
    }
    assertEquals(await testpmd.quit(), { received: sent, sent });
  },
);

testWith(
  withoutTestpmd,
  "vhost-user: DPDK only receives, and only sends: every frame arrives #core:vhost_user_dpdk",
  async () => {
    using folder = new Folder();
    const socket = folder.of("net");
    {
      await using testpmd = await Testpmd.start({ socket, forward: "rxonly" });
      await useCard(socket, {}, async ({ client }) => {
        for (let i = 0; i < FRAMES; i++) await client.send(frame(i));
      });
      assertEquals((await testpmd.quit()).received, FRAMES);
    }
    await using _testpmd = await Testpmd.start({ socket, forward: "txonly" });
    await useCard(socket, {}, async ({ client }) => {
      using frames = client.frames();
      for (let i = 0; i < FRAMES; i++) {
        const { value } = await within(`frame ${i}`, frames.next());
        // UDP over IPv4 from port 9 to port 9, of 64 bytes without their FCS.
        assertEquals(value!.bytes.length, 64);
        assertEquals(value!.bytes.subarray(12, 14).toHex(), "0800");
        assertEquals(value!.bytes.subarray(34, 38).toHex(), "00090009");
      }
    });
  },
);

testWith(
  withoutTestpmd,
  "vhost-user: DPDK by the commands check and conform, which finds what docs/findings.md says #core:vhost_user_dpdk",
  async () => {
    using folder = new Folder();
    const socket = folder.of("net");
    await using _testpmd = await Testpmd.start({ socket });
    const machine = ["--machine", "vhost-user", "--", `net=${socket}`];
    const checked = await run(...program("check", ...machine));
    assertEquals(checked.code, 0, checked.err);
    const only = ["--only", "features"];
    const { text } = await run(...program("conform", "device", "00:01.0", ...only, ...machine));
    const wrong = [...text.matchAll(/(?:violates|wedged|cannot tell): (\S+) \(/g)];
    assertEquals(wrong.map(([, name]) => name), ["features.dependencies"], text);
    assert(text.includes("conforms"), text);
  },
);
