/**
 * DPDK's testpmd as a network card, by vhost-user: the foreign device that answers in order.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { NetClient } from "../classes/network/client.ts";
import type { Device } from "../classes.ts";
import { type AnyDevice, bit, Feature, openKernel, type OpenOptions } from "../mod.ts";
import { Folder, Testpmd, withoutTestpmd } from "./support/back_ends.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";
import { within } from "./support/net.ts";

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
  // The address that tells flows apart.
  bytes[29] = flow;
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
      assertEquals(value?.bytes, frame(number, flow), `frame ${number}`);
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
            await loop(card.client, FRAMES);
          }));
      }
      const all = FRAMES * Object.keys(RINGS).length;
      assertEquals(await testpmd.quit(), { received: all, sent: all });
    },
  );
}
