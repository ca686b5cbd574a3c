/**
 * The network driver on QEMU's network card.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { parseMac } from "../classes/network/protocol.ts";
import { bit, Feature, type OpenOptions } from "../mod.ts";
import { CARD, frameOf, PEER, within } from "./support/net.ts";
import { type Rig, rig } from "./support/net_rig.ts";
import { eachQemuTest } from "./support/machine.ts";
import "./support/libc.ts";

const MAC = parseMac(CARD)!;

/** Frames of many sizes both ways, one by one and in a burst. */
async function exchange({ client, peer }: Rig, longest = 1514): Promise<void> {
  using frames = client.frames();
  for (const length of [14, 15, 60, 61, 511, 1000, longest - 1, longest]) {
    const out = frameOf(PEER, client.mac, length);
    await client.send(out);
    assertEquals(await peer.next(), out);
    const back = frameOf(client.mac, PEER, length, length + 1);
    await peer.send(back);
    const { value } = await within("a frame", frames.next());
    assertEquals([value?.bytes, value?.segmentation], [back, undefined]);
  }
  const burst = Array.from({ length: 300 }, (_, i) => frameOf(PEER, client.mac, 64 + i, i));
  const sending = Promise.all(burst.map((frame) => client.send(frame)));
  for (const frame of burst) assertEquals(await peer.next(), frame);
  await sending;
  for (const frame of burst) await peer.send(frameOf(client.mac, PEER, frame.length, 9));
  for (const { length } of burst) {
    assertEquals((await within("a frame", frames.next())).value?.bytes.length, length);
  }
  assertEquals(frames.dropped, 0);
}

const FORMS: readonly (readonly [name: string, card: string, OpenOptions])[] = [
  ["modern", ",disable-legacy=on", {}],
  ["packed", ",disable-legacy=on,packed=on", {}],
  ["transitional, as legacy", ",disable-legacy=off", { legacy: true }],
  ["legacy, plain buffers", ",disable-legacy=off,mrg_rxbuf=off", { legacy: true }],
  ["modern, plain buffers", ",disable-legacy=on,mrg_rxbuf=off", {}],
  ["packed, plain buffers, without indirect descriptors", ",packed=on,mrg_rxbuf=off", {
    without: bit(Feature.INDIRECT_DESC),
  }],
  ["by the pin", ",disable-legacy=on", { interrupts: "intx" }],
  ["polled", ",disable-legacy=on", { interrupts: "polling" }],
];

for (const isolation of ["process", "inline"] as const) {
  for (const [name, card, options] of FORMS) {
    eachQemuTest(
      `vtnet sends and receives: ${name}, ${isolation} #vtnet:MRG_RXBUF #vtnet:MAC #vtnet:legacy #vtnet:packed`,
      async () => {
        await using net = await rig(card, { isolation, ...options });
        assertEquals(net.client.mac, MAC);
        assert(net.client.linkUp);
        assertEquals(net.client.mtu, 1500);
        await exchange(net);
        const { statistics } = await net.device.describe();
        assertEquals(
          [statistics["rxq0.ipackets"], statistics["txq0.opackets"], statistics["rxq0.ierrors"]],
          [308, 308, 0],
        );
      },
    );
  }
}
