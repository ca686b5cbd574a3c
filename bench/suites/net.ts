/**
 * Frames of 64 bytes to and from DPDK's device, by our driver and by DPDK's.
 *
 * @module
 */

import { NetBurst, type NetClient } from "../../classes/network/mod.ts";
import { bit, Feature, type Isolation } from "../../mod.ts";
import { unpacked } from "../../tools/unpacked.ts";
import { contend } from "../contend.ts";
import { APPLICATION, applicationOf, deno, DEVICE, DRIVER, pinned } from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import type { Suite } from "../suite.ts";
import { type Forward, Testpmd } from "../testpmd.ts";

const ROUND_MS = 250;
const QUEUE_SIZE = 256;
/** Frames that go round in a loop. */
const ROUND = 128;
/** How long nothing may come, in milliseconds. */
const PATIENCE = 10;
/** An address that no other station has. */
const MAC = "52:54:00:00:00:01";

const RINGS = {
  "split": { without: bit(Feature.RING_PACKED) | bit(Feature.IN_ORDER), dpdk: "" },
  "split, in order": { without: bit(Feature.RING_PACKED), dpdk: ",in_order=1" },
  "packed": { without: bit(Feature.IN_ORDER), dpdk: ",packed_vq=1" },
  "packed, in order": { without: 0n, dpdk: ",packed_vq=1,in_order=1" },
};
type Ring = keyof typeof RINGS;

/** What the device does about each way of a frame, and what DPDK's driver does. */
const WAYS: Readonly<Record<Way, { readonly device: Forward; readonly driver: Forward }>> = {
  send: { device: "rxonly", driver: "txonly" },
  receive: { device: "txonly", driver: "rxonly" },
  loop: { device: "io", driver: "io" },
};
type Way = "send" | "receive" | "loop";

/** Rings of all kinds, beside DPDK's driver. */
export const net: Suite = {
  name: "net",
  what: "frames to, from and through DPDK's vhost-user device, beside DPDK's own driver",
  async *subjects(folder, missing) {
    if (unpacked("testpmd") === undefined) {
      return missing("there is no testpmd: deno task prepare fetches it");
    }
    let sockets = 0;
    const contender = (processor: number, ring: string, way: string, who: string) =>
      pinned(
        processor,
        deno([import.meta.filename!, ring, way, who, `${folder}/net${sockets++}.sock`]),
      );
    for (const ring of Object.keys(RINGS)) {
      for (const way of Object.keys(WAYS)) {
        yield {
          subject: `${ring}: ${way}`,
          axis: "bytes",
          points: [64],
          unit: "million frames a second",
          better: "more",
          yardstick: "DPDK",
          contenders: [
            { name: "DPDK", command: contender(APPLICATION, ring, way, "dpdk") },
            ...(["inline", "process"] as const).map((isolation) => ({
              name: isolation,
              command: contender(applicationOf(isolation), ring, way, isolation),
            })),
          ],
        };
      }
    }
  },
};

/** DPDK's driver: so many million frames a second. */
async function byDpdk(driver: Testpmd, way: Way): Promise<number> {
  const begin = performance.now();
  await driver.begin(way === "loop" ? ROUND : 0);
  await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
  const { received, sent } = await driver.end();
  return (way === "send" ? sent : received) / 1000 / (performance.now() - begin);
}

/** Ours: likewise. */
function byUs({ slots }: NetClient, way: Way, bytes: number): number {
  using _polling = slots.busyPoll();
  using receiver = slots.receive();
  const burst = new NetBurst(Math.max(slots.count, receiver.count));
  const { unsent } = slots;
  let [submitted, received] = [0, 0];
  const send = (most: number) => {
    submitted += slots.takeBurst(burst, most);
    burst.lengths.fill(bytes, 0, burst.count);
    slots.submitBurst(burst);
  };
  const receive = () => {
    const frames = receiver.drainBurst(burst);
    receiver.releaseBurst(burst);
    received += frames;
    return frames;
  };
  const turns = {
    send() {
      send(slots.count);
      slots.wait(PATIENCE);
    },
    receive() {
      if (receiver.waiting === 0) slots.wait(PATIENCE);
      receive();
    },
    loop() {
      if (receiver.waiting === 0) slots.wait(PATIENCE);
      // What was dropped on the way is sent anew.
      send(receive() || (slots.inFlight === 0 ? 1 : 0));
    },
  };
  const turn = turns[way];
  if (way === "loop") send(ROUND);
  const begin = performance.now();
  while (performance.now() - begin < ROUND_MS) turn();
  const took = performance.now() - begin;
  const sent = submitted - slots.inFlight - (slots.unsent - unsent);
  const frames = way === "send" ? sent : received;
  for (let tries = 0; slots.inFlight > 0 && tries < 100; tries++) slots.wait(PATIENCE);
  receive();
  receiver.publish();
  return frames / 1000 / took;
}

if (import.meta.main) {
  const [ring, way, who, socket] = Deno.args as [Ring, Way, Isolation | "dpdk", string];
  const { without, dpdk } = RINGS[ring];
  const { device: theirs, driver: ours } = WAYS[way];
  await using stack = new AsyncDisposableStack();
  const device = await Testpmd.start(DEVICE, `net_vhost0,iface=${socket},queues=1`, theirs);
  stack.use(device);
  let measure: (bytes: number) => number | Promise<number>;
  if (who === "dpdk") {
    const port = `net_virtio_user0,path=${socket},queue_size=${QUEUE_SIZE}${dpdk}`;
    const driver = stack.use(await Testpmd.start(DRIVER, port, ours));
    measure = () => byDpdk(driver, way);
  } else {
    const kernel = stack.use(
      await openPinned({
        machine: "vhost-user",
        vhostUser: [{ kind: "net", socket, mac: MAC, queueSize: QUEUE_SIZE }],
        isolation: who,
        without,
      }),
    );
    const { client } = await attachPinned(kernel, "network");
    measure = (bytes) => byUs(client, way, bytes);
  }
  await contend(async (bytes) => {
    await device.begin();
    try {
      return await measure(bytes);
    } finally {
      await device.end();
    }
  });
}
