/**
 * Two network cards at one wire: a frame from one to the other, what a filter lets in, and how often the link went down.
 *
 *     deno run --allow-ffi examples/vtnet.ts
 *
 * @module
 */

import { NetModel } from "@virtio/vtnet/model";
import { openKernel } from "../mod.ts";

/** A type of frame that is there for experiments (IEEE 802). */
const EXPERIMENT = [0x88, 0xb5];

if (import.meta.main) {
  const [here, there] = [new NetModel(), new NetModel({ mac: [2, 0, 0, 0, 0, 1] })];
  NetModel.connect(here, there);
  await using kernel = await openKernel({ machine: "simulated", devices: [here, there] });
  const { client: left } = await kernel.attachFirst("network");
  const { client: right } = await kernel.attachFirst("network");
  console.log(`MTU ${left.mtu}, ${left.speed} Mbit/s, ${left.duplex} duplex`);

  using frames = right.frames();
  await right.filter.addVlan(5);
  const text = new TextEncoder();
  const say = (words: string) =>
    left.send(Uint8Array.of(...right.mac, ...left.mac, ...EXPERIMENT, ...text.encode(words)));
  await say("hello");
  await say("good-bye");
  for (let i = 0; i < 2; i++) {
    const { value: frame } = await frames.next();
    console.log(new TextDecoder().decode(frame!.bytes.subarray(14)));
  }

  using changes = right.changes();
  there.setLink(false);
  console.log(JSON.stringify((await changes.next()).value));
  console.log((await left.deviceStatistics()).tx_packets);
}

// prints: MTU 1500, 10000 Mbit/s, full duplex
// prints: hello
// prints: good-bye
// prints: {"type":"link","up":false}
// prints: 2
