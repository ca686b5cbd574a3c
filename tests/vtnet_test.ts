/**
 * The network driver on simulated cards: what QEMU's card cannot do, and what no honest card does.
 *
 * @module
 */

import { FEATURES, NetModel, type NetOptions } from "@virtio/vtnet/model";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { fitted, type Fittings, lying, RING_PACKED } from "../simulation/mod.ts";
import { DRIVERS } from "../drivers.ts";
import { type Device, openKernel, type OpenOptions, RequestError, Status } from "../mod.ts";
import { complement } from "../plugins/vtnet/segments.ts";
import { hashFrame } from "../plugins/vtnet/toeplitz.ts";
import * as wire from "../plugins/vtnet/wire.ts";
import { soon } from "./support/leaks.ts";
import { frameOf, PEER, within } from "./support/net.ts";
import "./support/libc.ts";
import { patience } from "./support/patience.ts";

interface Rig extends AsyncDisposable {
  readonly model: NetModel;
  readonly device: Device<"network">;
  readonly client: Device<"network">["client"];
  /** Frames that the card has sent. */
  readonly sent: Uint8Array[];
}

async function rig(
  options: NetOptions = {},
  open: OpenOptions = {},
  fittings: Fittings = {},
): Promise<Rig> {
  const model = fitted(new NetModel(options), fittings);
  const sent: Uint8Array[] = [];
  model.peer = (frame) => void sent.push(frame);
  const kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
    ...open,
  });
  try {
    const device = await kernel.attachFirst("network");
    // The driver gives its buffers to the device as soon as that is live; the device looks a moment later.
    await soon(() => model.waiting > 0);
    const { client } = device;
    return {
      model,
      device,
      client,
      sent,
      [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose](),
    };
  } catch (error) {
    await kernel[Symbol.asyncDispose]();
    throw error;
  }
}

/** What the driver counted. */
async function counts({ device }: Rig): Promise<Readonly<Record<string, number>>> {
  return (await device.describe()).statistics;
}

/** That a good frame comes, and as many buffers are with the device as at first. */
async function isWell(net: Rig, buffers: number): Promise<void> {
  using frames = net.client.frames();
  const good = frameOf(net.client.mac, PEER, 700);
  // After a flood the device has no buffer until the driver gives some back.
  assert(await soon(() => net.model.receive(good)), "the device gets no buffers");
  assertEquals((await within("a frame", frames.next())).value?.bytes, good);
  // Given back slots are shown a few at a time.
  assert(await soon(() => net.model.waiting >= buffers - buffers / 8), `${net.model.waiting}`);
}

const LRO = { tunables: { "vtnet.lro_disable": false } };

for (const isolation of ["process", "inline"] as const) {
  for (const kind of ["split", "packed"] as const) {
    Deno.test(`two cards at one wire, ${kind}, ${isolation} #vtnet:packed`, async () => {
      const a = fitted(new NetModel(), kind === "packed" ? { with: RING_PACKED } : {});
      const b = new NetModel({ mac: [2, 0, 0, 0, 0, 9] });
      NetModel.connect(a, b);
      await using kernel = await openKernel({
        machine: "simulated",
        devices: [a, b],
        drivers: DRIVERS,
        isolation,
      });
      const left = await kernel.attachFirst("network");
      const right = await kernel.attachFirst("network");
      await soon(() => a.waiting > 0 && b.waiting > 0);
      using there = right.client.frames();
      using back = left.client.frames();
      for (let i = 0; i < 400; i++) {
        const frame = frameOf(right.client.mac, left.client.mac, 60 + i * 3, i);
        await left.client.send(frame);
        assertEquals((await within("a frame", there.next())).value?.bytes, frame);
        if (i % 10 > 0) continue;
        await right.client.send(frameOf(left.client.mac, right.client.mac, 100, i));
        assertEquals((await within("a frame", back.next())).value?.bytes.length, 100);
      }
    });
  }
}

Deno.test(
  "vtnet takes a long frame in as many buffers as it needs, or in one that is long enough " +
    "#vtnet:MRG_RXBUF #vtnet:GUEST_TSO6 #vtnet:GUEST_ECN #vtnet:GUEST_USO4 #vtnet:GUEST_UFO",
  async () => {
    for (const mrg of [false, true]) {
      const tunables = { ...LRO.tunables, "vtnet.mrg_disable": mrg };
      await using net = await rig({}, { tunables });
      using frames = net.client.frames();
      for (
        const [gsoType, type, ecn, length] of [
          [wire.GSO_TCPV6, "tcp6", false, 65_000],
          [wire.GSO_TCPV4 | wire.GSO_ECN, "tcp4", true, 40_000],
          [wire.GSO_UDP_L4, "udp", false, 3000],
          [wire.GSO_UDP, "udpFragments", false, 5000],
        ] as const
      ) {
        const frame = frameOf(net.client.mac, PEER, length);
        const arrival = { flags: 1, gsoType, gsoSize: 1400, start: 34, offset: 16, headers: 54 };
        assert(net.model.receive(frame, arrival));
        const { value } = await within("a frame", frames.next());
        assertEquals(value?.bytes.every((byte, i) => byte === frame[i]), true);
        assertEquals([value?.bytes.length, value?.checksum], [length, "partial"]);
        assertEquals(value?.segmentation, { type, size: 1400, ecn });
      }
      assertEquals((await counts(net))["rxq0.host_lro"], 4);
    }
  },
);

/** A TCP or UDP segment over IPv4 or IPv6 whose checksum is that of the pseudo header. */
function segment(six: boolean, tcp: boolean, bytes: number): Uint8Array<ArrayBuffer> {
  const ip = six ? 40 : 20;
  const header = tcp ? 20 : 8;
  const frame = Uint8Array.from({ length: 14 + ip + header + bytes }, (_, i) => i * 11);
  frame.set([...PEER, ...PEER, ...(six ? [0x86, 0xdd] : [8, 0])]);
  const view = new DataView(frame.buffer);
  if (six) {
    frame.set([0x60, 0, 0, 0, 0, 0, tcp ? 6 : 17, 64], 14);
    view.setUint16(18, header + bytes);
  } else {
    frame.set([0x45, 0, 0, 0, 0, 7, 0, 0, 64, tcp ? 6 : 17, 0, 0], 14);
    view.setUint16(16, ip + header + bytes);
  }
  if (tcp) frame.set([0x50, 0x19], 14 + ip + 12);
  return frame;
}

for (
  const [name, type, six, tcp, ecn] of [
    ["TCP over IPv4 #vtnet:HOST_TSO4 #vtnet:GUEST_HDRLEN", "tcp4", false, true, false],
    ["TCP with congestion bits #vtnet:HOST_ECN", "tcp4", false, true, true],
    ["TCP over IPv6 #vtnet:HOST_TSO6", "tcp6", true, true, false],
    ["UDP #vtnet:HOST_USO", "udp", false, false, false],
  ] as const
) {
  Deno.test(`vtnet has segments cut: ${name}`, async () => {
    await using net = await rig();
    const start = six ? 54 : 34;
    const headers = start + (tcp ? 20 : 8);
    const frame = segment(six, tcp, 5000);
    await net.client.send(frame, {
      checksum: { start, offset: tcp ? 16 : 6 },
      segmentation: { type, size: 1400, headers, ecn },
    });
    assertEquals(net.sent.map(({ length }) => length - headers), [1400, 1400, 1400, 800]);
    const data = net.sent.flatMap((each) => [...each.subarray(headers)]);
    assertEquals(data, [...frame.subarray(headers)]);
    for (const [i, each] of net.sent.entries()) {
      const addresses = six ? each.subarray(22, 54) : each.subarray(26, 34);
      const pseudo = each.length - start + (tcp ? 6 : 17) +
        (~complement(addresses) & 0xffff);
      assertEquals(complement(each.subarray(start), pseudo), 0, `segment ${i}`);
      if (tcp) {
        const sequence = new DataView(each.buffer).getUint32(start + 4);
        assertEquals(sequence, new DataView(frame.buffer).getUint32(start + 4) + i * 1400);
      }
    }
  });
}

Deno.test("more frames to be cut than have room at once go out in their order, and those between #vtnet:long", async () => {
  await using net = await rig({}, { isolation: "process" });
  const { client } = net;
  const checksum = { start: 34, offset: 16 };
  const segmentation = { type: "tcp4", size: 1400, headers: 54 } as const;
  const count = 200;
  await Promise.all(Array.from({ length: count }, (_, i) => {
    const long = i % 4 > 0;
    const frame = segment(false, true, long ? 5000 : 60);
    frame[37] = i;
    return client.send(frame, { checksum, ...(long && { segmentation }) });
  }));
  const expected = Array.from({ length: count }, (_, i) => Array(i % 4 > 0 ? 4 : 1).fill(i));
  assertEquals(net.sent.map((frame) => frame[37]), expected.flat());
  assert(client.slots.bytes < 2048 && client.slots.longest > 65_000);
});

Deno.test("vtnet refuses to send what is none, too long, or cannot be done #vtnet:tx.too-long", async () => {
  await using net = await rig();
  const { client } = net;
  const frame = frameOf(PEER, client.mac, 1000);
  const rejects = (wrong: () => Promise<void>, type: new () => Error, says: string) =>
    assertRejects(wrong, type, says);
  await rejects(() => client.send(new Uint8Array(13)), RangeError, "of 13 bytes: two addresses");
  await rejects(() => client.send(new Uint8Array(1519)), RangeError, "it may have 1518");
  assertThrows(() => client.trySend(new Uint8Array(1519)), RangeError, "it may have 1518");
  await rejects(
    () => client.send(frame, { checksum: { start: 990, offset: 9 } }),
    RangeError,
    "offload.checksum.offset of NetClient.send: it is 9",
  );
  const segmentation = { type: "udpFragments", size: 100, headers: 42 } as const;
  const checksum = { start: 34, offset: 6 };
  await rejects(
    () => client.send(frame, { checksum, segmentation }),
    TypeError,
    "does not cut udp",
  );
  await rejects(
    () => client.send(frame, { segmentation: { ...segmentation, type: "tcp4" } }),
    TypeError,
    "must fill in checksums",
  );
  await client.send(frame);
  assertEquals(net.sent.length, 1);
});

Deno.test(
  "vtnet fills in checksums by itself where the device does not #vtnet:tx.checksum-software #vtnet:tunables",
  async () => {
    for (const disable of [false, true]) {
      await using net = await rig({}, { tunables: { "vtnet.csum_disable": disable } });
      assertEquals(net.client.offloads.transmit.checksum, !disable);
      const frame = segment(false, false, 101);
      frame.set([0x12, 0x34], 40);
      await net.client.send(frame, { checksum: { start: 34, offset: 6 } });
      const [sent] = net.sent;
      assertEquals(complement(sent!.subarray(34), 0x1234), 0);
      assertEquals((await counts(net))["txq0.csum"], disable ? 0 : 1);
    }
  },
);

Deno.test("vtnet completes a checksum that was left open, and knows one that was checked #vtnet:GUEST_CSUM #vtnet:rx.checksum", async () => {
  await using net = await rig();
  using frames = net.client.frames();
  const frame = segment(false, false, 201);
  frame.set(net.client.mac);
  net.model.receive(frame, { flags: wire.HDR_F_NEEDS_CSUM, start: 34, offset: 6 });
  const open = (await within("a frame", frames.next())).value!;
  const pseudo = frame[40]! << 8 | frame[41]!;
  assertEquals([open.checksum, complement(open.bytes.subarray(34), pseudo)], ["valid", 0]);
  net.model.receive(frame, { flags: wire.HDR_F_DATA_VALID });
  assertEquals((await within("a frame", frames.next())).value?.checksum, "valid");
  net.model.receive(frame);
  assertEquals((await within("a frame", frames.next())).value?.checksum, "unknown");
  assertEquals((await counts(net))["rxq0.csum"], 2);
});

Deno.test(
  "vtnet sets and asks when queues interrupt " +
    "#vtnet:NOTF_COAL #vtnet:NOTF_COAL_SET #vtnet:VQ_NOTF_COAL #vtnet:NOTF_COAL_VQ_SET #vtnet:NOTF_COAL_VQ_GET",
  async () => {
    await using net = await rig({ pairs: 2 });
    const { client, model } = net;
    await client.steering.setQueuePairs(2);
    await client.coalescing.set({
      receive: { frames: 15, microseconds: 10 },
      transmit: { frames: 8, microseconds: 9 },
    });
    await client.coalescing.setQueue(1, "receive", { frames: 3, microseconds: 4 });
    assertEquals([...model.coalescing].toSorted(([a], [b]) => a - b), [
      [0, [15, 10]],
      [1, [8, 9]],
      [2, [3, 4]],
      [3, [8, 9]],
    ]);
    assertEquals(await client.coalescing.queue(1, "receive"), { frames: 3, microseconds: 4 });
    assertEquals(await client.coalescing.queue(1, "transmit"), { frames: 8, microseconds: 9 });
    await client.steering.setQueuePairs(1);
    await assertRejects(() => client.coalescing.queue(1, "receive"), RequestError, "an error");
  },
);

Deno.test("vtnet asks for what the device has counted #vtnet:DEVICE_STATS #vtnet:STATS_GET", async () => {
  await using net = await rig({ pairs: 2 });
  const { client, model } = net;
  for (let i = 0; i < 5; i++) await client.send(frameOf(PEER, client.mac, 100));
  await client.send(segment(false, true, 5000), {
    checksum: { start: 34, offset: 16 },
    segmentation: { type: "tcp4", size: 1000, headers: 54 },
  });
  model.receive(frameOf(client.mac, PEER, 60), { flags: wire.HDR_F_DATA_VALID });
  const counted = await client.deviceStatistics();
  assertEquals(
    ["tx_packets", "tx_needs_csum", "tx_gso_packets", "rx_packets", "rx_bytes", "rx_csum_valid"]
      .map((name) => counted[name]),
    [6, 1, 1, 1, 60, 1],
  );
  assertEquals([counted.command_num, counted.ok_num], [2, 2]);
});

Deno.test(
  "vtnet chooses pairs by a hash, and gets the hash with the frames " +
    "#vtnet:RSS #vtnet:RSS_CONFIG #vtnet:HASH_REPORT #vtnet:HASH_CONFIG #vtnet:HASH_TUNNEL #vtnet:HASH_TUNNEL_SET #vtnet:config.rss",
  async () => {
    await using net = await rig({ pairs: 4 });
    const { client, model } = net;
    using frames = client.frames();
    const key = crypto.getRandomValues(new Uint8Array(40));
    const table = [3, 1, 0, 2, 2, 0, 1, 3];
    await client.steering.setRss({ types: 0x3f, key, table, unclassified: 2 });
    assertEquals(model.pairs, 4);
    for (let i = 0; i < 40; i++) {
      const frame = segment(i % 2 === 0, i % 3 === 0, 50);
      frame.set(client.mac);
      frame[30] = i;
      model.receive(frame);
      const { value } = await within("a frame", frames.next());
      const wanted = hashFrame(frame, 0x3f, key);
      assertEquals(value?.hash, { value: wanted.value, type: wanted.report });
      assertEquals(value?.pair, table[wanted.value % table.length]);
    }
    model.receive(frameOf(client.mac, PEER, 60));
    const plain = (await within("a frame", frames.next())).value;
    assertEquals([plain?.pair, plain?.hash], [2, undefined]);
    await client.steering.setQueuePairs(1);
    await client.steering.setHash(1, key);
    const frame = segment(false, true, 50);
    frame.set(client.mac);
    model.receive(frame);
    assertEquals((await within("a frame", frames.next())).value?.hash?.type, 1);
    await client.steering.setHashTunnels(0x10);
    assertEquals(model.tunnels, 0x10);
    await assertRejects(() => client.steering.setHashTunnels(0x8000), RequestError);
    await assertRejects(
      () => client.steering.setRss({ types: 0x40, table: [0] }),
      RangeError,
      "0x40",
    );
    await assertRejects(
      () => client.steering.setRss({ types: 1, table: [0, 0, 0] }),
      RangeError,
      "power",
    );
    await assertRejects(
      () => client.steering.setRss({ types: 1, table: [4] }),
      RangeError,
      "0 to 3",
    );
    await assertRejects(
      () => client.steering.setHash(1, new Uint8Array(41)),
      RangeError,
      "0 to 40",
    );
  },
);

Deno.test("vtnet sends by the pairs that are used, a flow by one #vtnet:MQ #vtnet:VQ_PAIRS_SET", async () => {
  await using net = await rig({ pairs: 4 }, { isolation: "process" });
  const { client } = net;
  const burst = () =>
    Promise.all(Array.from({ length: 100 }, (_, i) => {
      const frame = segment(false, false, 60);
      frame[36] = i;
      return client.send(frame);
    }));
  for (const pairs of [4, 2, 3, 1]) {
    await Promise.all([burst(), client.steering.setQueuePairs(pairs), burst()]);
    assertEquals(net.model.pairs, pairs);
  }
  assertEquals(net.sent.length, 800);
  const found = await counts(net);
  for (const pair of [0, 1, 2, 3]) assert(found[`txq${pair}.opackets`]! > 0);
  await assertRejects(
    () => client.steering.setQueuePairs(5),
    RangeError,
    "wanted a whole number, 1 to 4",
  );
});

for (
  const [name, mac] of [
    ["none", []],
    ["that of many", [1, 0, 0, 0, 0, 1]],
    ["zero", [0, 0, 0, 0, 0, 0]],
  ] as const
) {
  Deno.test(`vtnet takes an address of its own where the device's is ${name} #vtnet:config.mac #vtnet:D-84`, async () => {
    await using net = await rig({ mac });
    const own = net.client.mac;
    assertEquals([own[0]! & 3, own.length], [2, 6]);
    // The device is told.
    await net.client.filter.setAllMulticast(false);
    assertEquals(net.model.config.slice(0, 6), own);
    await isWell(net, 256);
  });
}

for (
  const [what, options, mtu, pairs] of [
    ["an MTU of 67", { mtu: 67 }, 1500, 1],
    ["an MTU of 68", { mtu: 68 }, 68, 1],
    ["an MTU of 65535", { mtu: 65535 }, 65535, 1],
    ["no pairs", { claims: { [wire.CONFIG_MAX_VIRTQUEUE_PAIRS]: 0 } }, 1500, 1],
    ["40000 pairs", { claims: { [wire.CONFIG_MAX_VIRTQUEUE_PAIRS]: 40000 } }, 1500, 1],
    ["more pairs than queues", { claims: { [wire.CONFIG_MAX_VIRTQUEUE_PAIRS]: 9 } }, 1500, 1],
    ["2 pairs", { pairs: 2 }, 1500, 2],
    ["6 pairs", { pairs: 6 }, 1500, 4],
  ] as const
) {
  Deno.test(`vtnet: a card with ${what} #vtnet:config.mtu #vtnet:config.max_virtqueue_pairs`, async () => {
    await using net = await rig(options);
    assertEquals([net.client.mtu, net.client.steering.queuePairs], [mtu, pairs]);
    if (mtu >= 714) await isWell(net, 256);
  });
}

Deno.test("vtnet: features without what they need, and those that are switched off #vtnet:dependencies #vtnet:tunables", async () => {
  const all = new NetModel({ pairs: 2 }).features;
  const used = async (features: bigint, tunables: Record<string, boolean | number> = {}) => {
    const named = Object.fromEntries(
      Object.entries(tunables).map(([name, value]) => [`vtnet.${name}`, value]),
    );
    await using net = await rig({ pairs: 2, features }, { tunables: named });
    return BigInt((await net.device.describe()).features.accepted);
  };
  const HOST = wire.F_HOST_TSO4 | wire.F_HOST_TSO6 | wire.F_HOST_ECN | wire.F_HOST_USO;
  const GUEST = wire.F_GUEST_TSO4 | wire.F_GUEST_TSO6 | wire.F_GUEST_ECN | wire.F_GUEST_USO4 |
    wire.F_GUEST_USO6;
  const CONTROL = wire.F_CTRL_RX | wire.F_CTRL_VLAN | wire.F_CTRL_RX_EXTRA | wire.F_MQ |
    wire.F_GUEST_ANNOUNCE | wire.F_CTRL_MAC_ADDR | wire.F_RSS | wire.F_NOTF_COAL |
    wire.F_VQ_NOTF_COAL | wire.F_DEVICE_STATS | wire.F_HASH_REPORT | wire.F_HASH_TUNNEL;
  assertEquals(await used(all & ~wire.F_CSUM) & HOST, 0n);
  assertEquals(await used(all & ~wire.F_CTRL_VQ) & CONTROL, 0n);
  assertEquals(await used(all & ~wire.F_GUEST_CSUM, { lro_disable: false }) & GUEST, 0n);
  assertEquals(await used(all, { lro_disable: false }) & GUEST, GUEST);
  assertEquals(await used(all) & GUEST, 0n);
  assertEquals(await used(all, { tso_disable: true }) & (HOST | wire.F_CSUM), wire.F_CSUM);
  assertEquals(await used(all, { csum_disable: true }) & (HOST | wire.F_CSUM), 0n);
  assertEquals(await used(all, { mq_disable: true }) & (wire.F_MQ | wire.F_RSS), 0n);
  await using one = await rig({ pairs: 2 }, { tunables: { "vtnet.mq_max_pairs": 1 } });
  assertEquals(one.client.steering.queuePairs, 1);
  await one.client.filter.setPromiscuous(true);
});

Deno.test("vtnet tells speed and duplex when they change, and what cannot be as unknown #vtnet:config.speed", async () => {
  await using net = await rig({ speed: 25_000 });
  const { client, model } = net;
  assertEquals([client.speed, client.duplex], [25_000, "full"]);
  model.setSpeed(100, 0);
  assert(await soon(() => client.speed === 100 && client.duplex === "half"));
  model.setSpeed(0x80000000, 7);
  assert(await soon(() => client.speed === undefined && client.duplex === undefined));
});

for (const isolation of ["process", "inline"] as const) {
  Deno.test(`vtnet sets all again after a restart, in its order, ${isolation} #vtnet:replay`, async () => {
    await using net = await rig({ pairs: 2 }, { isolation });
    const { client, model } = net;
    using changes = client.changes();
    using frames = client.frames();
    await client.filter.setPromiscuous(true);
    await client.filter.setPromiscuous(false);
    await client.filter.setAllMulticast(true);
    await client.filter.setReceiveMode({ noBroadcast: true });
    await client.filter.setMacTable([Uint8Array.of(2, 0, 0, 0, 0, 5)]);
    for (const id of [1, 2, 3]) await client.filter.addVlan(id);
    await client.filter.removeVlan(2);
    await client.steering.setRss({ types: 1, table: [0, 1] });
    await client.steering.setQueuePairs(2);
    await client.setOffloads({ checksum: true });
    await client.coalescing.set({ transmit: { frames: 4, microseconds: 5 } });
    await client.steering.setHashTunnels(1);
    await client.setMac(Uint8Array.of(2, 0, 0, 0, 0, 8));
    const state = () => ({
      modes: [...model.filter.modes],
      table: [...model.filter.table],
      vlans: [...model.filter.vlans],
      pairs: model.pairs,
      offloads: model.offloads,
      coalescing: [...model.coalescing],
      tunnels: model.tunnels,
      mac: [...model.config.subarray(0, 6)],
    });
    const before = state();
    model.needReset("for a test");
    const { value } = await within("a change", changes.next());
    assertEquals(value, { type: "restarted", lost: [] });
    assertEquals(state(), before);
    const frame = frameOf(client.mac, PEER, 300);
    await client.send(frameOf(PEER, client.mac, 99));
    assertEquals(net.sent.at(-1)?.length, 99);
    assert(await soon(() => model.receive(frame)));
    assertEquals((await within("a frame", frames.next())).value?.bytes, frame);
  });
}

Deno.test("vtnet says what could not be set again #vtnet:replay", async () => {
  let refuse = false;
  const lies = {
    ack: (command: number, ack: number) =>
      refuse && command === wire.CTRL_VLAN_ADD ? wire.ERR : ack,
  };
  await using net = await rig({ lies });
  using changes = net.client.changes();
  await net.client.filter.addVlan(7);
  refuse = true;
  net.model.needReset("for a test");
  const { value } = await within("a change", changes.next());
  assertEquals(value, { type: "restarted", lost: ["receive VLAN 7"] });
});

Deno.test("a frame in less, more or other buffers than the device says is dropped, and they are used again #vtnet:D-81 #vtnet:rx.num_buffers", async () => {
  for (
    const [header, parts] of [
      [(bytes: Uint8Array) => bytes.set([0, 0], wire.HDR_NUM_BUFFERS), undefined],
      [(bytes: Uint8Array) => bytes.set([0xff, 0xff], wire.HDR_NUM_BUFFERS), undefined],
      [(bytes: Uint8Array) => bytes.set([2, 0], wire.HDR_NUM_BUFFERS), undefined],
      [undefined, (count: number) => count - 1],
    ] as const
  ) {
    let lie = true;
    const lies = {
      header: (bytes: Uint8Array) => lie && header?.(bytes),
      parts: (count: number) => lie && parts ? parts(count) : count,
    };
    await using net = await rig({ lies }, LRO);
    using frames = net.client.frames();
    const long = { flags: 1, gsoType: 1, gsoSize: 1400, start: 34, offset: 16 };
    const frame = frameOf(net.client.mac, PEER, parts ? 6000 : 600);
    for (let i = 0; i < 3; i++) {
      assert(net.model.receive(frame, parts ? long : {}));
      assert(await soon(() => net.model.waiting === 256), `${net.model.waiting}`);
    }
    lie = false;
    await isWell(net, 256);
    assertEquals((await within("a frame", frames.next())).value?.bytes.length, 700);
    const counted = await counts(net);
    assertEquals([counted["rxq0.ipackets"], counted["rxq0.ierrors"]], [1, 3]);
    assertEquals(counted["rxq0.rx_mergeable_failed"], 3);
  }
});

Deno.test("a header that cannot be true drops its frame #vtnet:D-82 #vtnet:rx.checksum #vtnet:rx.gso", async () => {
  await using net = await rig({ features: FEATURES & ~wire.F_GUEST_UFO }, LRO);
  const frame = frameOf(net.client.mac, PEER, 500);
  const good = {
    flags: 1,
    gsoType: wire.GSO_TCPV4,
    gsoSize: 100,
    start: 34,
    offset: 16,
    headers: 54,
  };
  const wrong = [
    { ...good, gsoSize: 0 },
    { ...good, headers: 501 },
    { ...good, start: 500 },
    { ...good, start: 480, offset: 19 },
    { ...good, start: 65535, offset: 65535 },
    { ...good, gsoType: wire.GSO_UDP },
    { ...good, gsoType: 0x21 },
    { ...good, gsoType: 2 },
    { ...good, gsoType: 0x7f },
  ];
  for (const arrival of wrong) assert(net.model.receive(frame, arrival));
  await isWell(net, 256);
  const counted = await counts(net);
  assertEquals([counted["rxq0.ipackets"], counted["rxq0.ierrors"]], [1, wrong.length]);
  assertEquals(counted["rxq0.rx_csum_bad_offset"], 3);
});

Deno.test("frames too short, too long and too many are dropped and counted #vtnet:D-83 #vtnet:rx.length", async () => {
  await using net = await rig();
  const { client, model } = net;
  for (const length of [0, 1, 13]) model.receive(net.client.mac.slice(0, length), {});
  for (const length of [6, 13]) {
    assert(model.receive(frameOf(client.mac, PEER, 14).slice(0, length)));
  }
  assert(model.receive(frameOf(client.mac, PEER, 1519)));
  await isWell(net, 256);
  const counted = await counts(net);
  assertEquals(counted["rxq0.rx_frame_too_large"], 1);
  assertEquals(counted["rxq0.ierrors"]! >= 3, true);
  // Without a reader what comes is passed over; a reader that does not keep up loses the latest.
  using slow = client.frames(10);
  const flood = frameOf(client.mac, PEER, 60);
  let delivered = 0;
  for (let i = 0; i < 200; i++) {
    for (let j = 0; j < 200; j++) if (model.receive(flood)) delivered++;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert(delivered > 1000, `${delivered}`);
  assert(await soon(() => slow.dropped === delivered - 10), `${slow.dropped} of ${delivered}`);
  slow[Symbol.dispose]();
  await isWell(net, 256);
});

Deno.test("a command that is answered with nonsense, or not at all #vtnet:D-84", async () => {
  /** Nonsense, none, and from then on the right one. */
  const answers = [7, undefined];
  let asked = 0;
  const lies = {
    ack: (command: number, ack: number) => {
      if (command !== wire.CTRL_VLAN_ADD) return ack;
      asked++;
      return asked > answers.length ? wire.OK : answers[asked - 1];
    },
  };
  await using net = await rig({ lies });
  const wrong = await assertRejects(() => net.client.filter.addVlan(3), RequestError, "invalid");
  assertEquals(wrong.status, Status.invalid);
  using changes = net.client.changes();
  // After five seconds the device counts as hung: it is started anew, and asked again.
  await net.client.filter.addVlan(4);
  assertEquals(asked, 3);
  assertEquals((await within("a change", changes.next())).value?.type, "restarted");
  assertEquals((await net.device.describe()).restarts, 1);
});

Deno.test("a link that flaps and announcements without end cost little #vtnet:D-84", async () => {
  await using net = await rig();
  const { client, model } = net;
  using changes = client.changes();
  for (let i = 0; i < 1000; i++) {
    model.setLink(i % 2 === 0);
    if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  model.setLink(true);
  assert(await soon(() => client.linkUp));
  await client.filter.setPromiscuous(true);
  assertEquals(client.linkUp, true);
  changes[Symbol.dispose]();
  model.announceAlways = true;
  const before = net.sent.length;
  const start = performance.now();
  model.announce();
  await new Promise((resolve) => setTimeout(resolve, 650));
  const most = 2 + (performance.now() - start) / 100;
  const made = net.sent.length - before;
  assert(made >= 2 && made <= most, `${made} announcements, at most ${most}`);
  model.announceAlways = false;
  assert(await soon(() => !model.announcing));
});

Deno.test("vtnet fills a queue again that was reset alone #vtnet:queue-reset", async () => {
  const model = lying(new NetModel(), "D-63");
  const lines: string[] = [];
  await using kernel = await openKernel({
    machine: "simulated",
    devices: [model],
    drivers: DRIVERS,
    isolation: "inline",
    log: (line) => lines.push(line),
  });
  const { client } = await kernel.attachFirst("network");
  await soon(() => model.waiting > 0);
  using frames = client.frames();
  // The device breaks its receive queue with its fifth frame.
  for (let i = 0; i < 8; i++) {
    assert(await soon(() => model.receive(frameOf(client.mac, PEER, 100 + i))));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert(
    await soon(() => lines.some((line) => line.includes("resetting the queue"))),
    lines.join(),
  );
  assert(await soon(() => model.receive(frameOf(client.mac, PEER, 999))));
  for (;;) {
    const { value } = await within("a frame", frames.next());
    if (value?.bytes.length === 999) break;
  }
});

Deno.test("frames as slots come and go without a copy, and go back to the device", async () => {
  for (const isolation of ["process", "inline"] as const) {
    await using net = await rig({}, { isolation, ...LRO });
    const { client, model } = net;
    const { slots } = client;
    using receiver = slots.receive();
    assertThrows(() => slots.receive(), TypeError, "it is taken");
    let bytes = 0;
    for (let i = 0; i < 600; i++) {
      const long = i % 100 === 99;
      const length = long ? 5000 : 60 + i;
      const arrival = long ? { flags: 1, gsoType: 1, gsoSize: 1400, start: 34, offset: 16 } : {};
      const frame = frameOf(client.mac, PEER, length);
      assert(await soon(() => model.receive(frame, arrival)));
      while (receiver.waiting === 0) slots.wait(100);
      const parts: number[] = [];
      assertEquals(
        receiver.drain((slot, offset, count, more) => {
          parts.push(...receiver.data(slot).subarray(offset, offset + count));
          assertEquals(more > 0, parts.length < length);
          receiver.release(slot);
        }),
        1,
      );
      assertEquals(parts, [...frame]);
      const slot = slots.take();
      slots.data(slot).set(frame.subarray(0, 60));
      let done = -1;
      slots.submit(slot, 60, (_, status) => done = status);
      slots.publish();
      while (done < 0) slots.wait(100);
      assertEquals(done, Status.ok);
      slots.release(slot);
      bytes += length;
    }
    const counted = await counts(net);
    assertEquals([counted["rxq0.ibytes"], counted["txq0.obytes"]], [bytes, 600 * 60]);
  }
});

Deno.test("readers and senders end when the device is gone", async () => {
  const net = await rig();
  const frames = net.client.frames();
  const changes = net.client.changes();
  const waiting = frames.next();
  await net[Symbol.asyncDispose]();
  assertEquals((await within("an end", waiting)).done, true);
  assertEquals((await within("an end", changes.next())).done, true);
  await assertRejects(() => net.client.send(frameOf(PEER, PEER, 60)), RequestError, "gone");
  await assertRejects(() => net.client.filter.setPromiscuous(true), RequestError, "gone");
  assertEquals((await net.client.frames().next()).done, true);
});

Deno.test("net info tells what a card is, to people and to programs", async () => {
  const run = async (...args: string[]) => {
    const { stdout, success } = await new Deno.Command(Deno.execPath(), {
      signal: patience(),
      args: ["run", "--allow-ffi", "main.ts", "net", "info", "--machine", "simulated", ...args],
      cwd: new URL("..", import.meta.url).pathname,
    }).output();
    assert(success);
    return new TextDecoder().decode(stdout);
  };
  const text = await run("--isolation", "inline");
  for (
    const line of [
      /^mac +52:54:00:56:49:4f$/m,
      /^link +up$/m,
      /^speed +10000 Mbit\/s, full duplex$/m,
      /^sends +offloads: checksum, tcp4, tcp6, ecn, udp$/m,
      /^device counts +command_num 2$/m,
    ]
  ) assert(line.test(text), `${line} in ${text}`);
  const json = JSON.parse(await run("--json", "--tune", "vtnet.csum_disable"));
  assertEquals([json.command, json.mtu, json.offloads.transmit.checksum], [
    "net info",
    1500,
    false,
  ]);
});
