/**
 * What the network driver and QEMU's network card can agree on, feature by feature, as QEMU itself sees it.
 *
 * @module
 */

import { createSocket } from "node:dgram";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { formatMac, parseMac } from "../classes/network/protocol.ts";
import { type Kernel, RequestError, Status } from "../mod.ts";
import { eachQemuTest, qemuTest } from "./support/machine.ts";
import { CARD, frameOf, PEER, tagged, within } from "./support/net.ts";
import { rig } from "./support/net_rig.ts";
import { openQemuKernel, qmpOf } from "./support/qemu.ts";
import "./support/libc.ts";

/** What QEMU lets in, as it says itself. */
interface RxFilter {
  readonly promiscuous: boolean;
  readonly multicast: "normal" | "none" | "all";
  readonly unicast: "normal" | "none" | "all";
  readonly "main-mac": string;
  readonly "unicast-table": readonly string[];
  readonly "multicast-table": readonly string[];
  readonly "vlan-table": readonly number[];
}

function rxFilter(kernel: Kernel): RxFilter {
  return (qmpOf(kernel).execute("query-rx-filter", { name: "card" }) as readonly RxFilter[])[0]!;
}

const mac = (text: string) => parseMac(text)!;

eachQemuTest(
  "vtnet sets what is received, and QEMU says the same " +
    "#vtnet:CTRL_VQ #vtnet:CTRL_RX #vtnet:CTRL_RX_EXTRA #vtnet:RX_PROMISC #vtnet:RX_ALLMULTI " +
    "#vtnet:RX_ALLUNI #vtnet:RX_NOMULTI #vtnet:RX_NOUNI #vtnet:RX_NOBCAST",
  async () => {
    await using net = await rig();
    const { client, kernel } = net;
    await client.filter.setPromiscuous(true);
    assertEquals(rxFilter(kernel).promiscuous, true);
    await client.filter.setPromiscuous(false);
    assertEquals(rxFilter(kernel).promiscuous, false);
    await client.filter.setAllMulticast(true);
    assertEquals(rxFilter(kernel).multicast, "all");
    await client.filter.setAllMulticast(false);
    assertEquals(rxFilter(kernel).multicast, "normal");
    await client.filter.setReceiveMode({ allUnicast: true });
    assertEquals(rxFilter(kernel).unicast, "all");
    await client.filter.setReceiveMode({ noMulticast: true, noUnicast: true, noBroadcast: true });
    const none = rxFilter(kernel);
    assertEquals([none.multicast, none.unicast], ["none", "none"]);
    await client.filter.setReceiveMode({ allUnicast: false, noMulticast: false, noUnicast: false });
    const usual = rxFilter(kernel);
    assertEquals([usual.multicast, usual.unicast], ["normal", "normal"]);
    // What QEMU 7.2 says of broadcast is the opposite of what it does.
    using frames = client.frames();
    const broadcast = new Uint8Array(6).fill(0xff);
    for (const noBroadcast of [true, false]) {
      await client.filter.setReceiveMode({ noBroadcast });
      await net.peer.send(frameOf(broadcast, PEER, 100));
      await net.peer.send(frameOf(client.mac, PEER, 101));
      const lengths = noBroadcast ? [101] : [100, 101];
      for (const length of lengths) {
        assertEquals((await within("a frame", frames.next())).value?.bytes.length, length);
      }
    }
  },
);

eachQemuTest(
  "vtnet filters by address: a table, too many for it, an address of its own " +
    "#vtnet:MAC_TABLE_SET #vtnet:MAC_ADDR_SET #vtnet:CTRL_MAC_ADDR",
  async () => {
    await using net = await rig();
    const { client, kernel, peer } = net;
    await client.filter.setPromiscuous(false);
    await client.filter.setMacTable([mac("02:00:00:00:00:05"), mac("01:00:5e:00:00:fb")]);
    assertEquals(rxFilter(kernel)["unicast-table"], ["02:00:00:00:00:05"]);
    assertEquals(rxFilter(kernel)["multicast-table"], ["01:00:5e:00:00:fb"]);
    using frames = client.frames();
    const to = (address: string, seed: number) => peer.send(frameOf(mac(address), PEER, 100, seed));
    await to("02:00:00:00:00:06", 1);
    await to("01:00:5e:00:00:01", 2);
    await to("02:00:00:00:00:05", 3);
    await to("01:00:5e:00:00:fb", 4);
    for (const seed of [3, 4]) {
      const { value } = await within("a frame", frames.next());
      assertEquals(value?.bytes.at(99), frameOf(PEER, PEER, 100, seed).at(99));
    }
    // QEMU keeps 64; this driver 128.
    const many = (count: number, first: number) =>
      Array.from({ length: count }, (_, i) => Uint8Array.of(first, 0, 0, 0, 1, i));
    await client.filter.setMacTable([...many(129, 2), ...many(129, 1)]);
    const open = rxFilter(kernel);
    assertEquals([open.promiscuous, open.multicast], [true, "all"]);
    await client.filter.setMacTable(many(3, 2));
    const closed = rxFilter(kernel);
    assertEquals([closed.promiscuous, closed.multicast], [false, "normal"]);
    assertEquals(closed["unicast-table"].length, 3);

    await client.setMac(mac("02:aa:bb:cc:dd:ee"));
    assertEquals(rxFilter(kernel)["main-mac"], "02:aa:bb:cc:dd:ee");
    assertEquals(formatMac(client.mac), "02:aa:bb:cc:dd:ee");
    await assertRejects(() => client.setMac(mac("01:00:00:00:00:01")), RangeError, "no card may");
  },
);

eachQemuTest(
  "vtnet receives the VLANs that it is told to #vtnet:CTRL_VLAN #vtnet:VLAN_ADD #vtnet:VLAN_DEL",
  async () => {
    await using net = await rig();
    const { client, kernel, peer } = net;
    // In promiscuous mode, in which QEMU begins, it does not look at VLANs either.
    await client.filter.setPromiscuous(false);
    await client.filter.addVlan(5);
    await client.filter.addVlan(4094);
    assertEquals(rxFilter(kernel)["vlan-table"].toSorted(), [4094, 5]);
    await client.filter.removeVlan(4094);
    assertEquals(rxFilter(kernel)["vlan-table"], [5]);
    using frames = client.frames();
    await peer.send(tagged(frameOf(client.mac, PEER, 100, 1), 6));
    const wanted = tagged(frameOf(client.mac, PEER, 1514, 2), 5);
    await peer.send(wanted);
    assertEquals((await within("a frame", frames.next())).value?.bytes, wanted);
    await client.send(wanted);
    assertEquals(await peer.next(), wanted);
    await assertRejects(() => client.filter.addVlan(4096), RangeError, "0 to 4095");
  },
);

for (const isolation of ["process", "inline"] as const) {
  qemuTest(
    `vtnet follows its link, ${isolation} #vtnet:STATUS #vtnet:config.status`,
    async () => {
      await using net = await rig("", { isolation });
      const { client, kernel } = net;
      using changes = client.changes();
      for (const up of [false, true, false]) {
        qmpOf(kernel).execute("set_link", { name: "card", up });
        const { value } = await within("a change", changes.next());
        assertEquals(value, { type: "link", up });
        assertEquals(client.linkUp, up);
      }
    },
  );
}

qemuTest(
  "vtnet announces where it is when it is asked to, and says so to the device " +
    "#vtnet:GUEST_ANNOUNCE #vtnet:ANNOUNCE_ACK",
  async () => {
    await using net = await rig();
    const { client, kernel, peer, device } = net;
    using changes = client.changes();
    for (let round = 1; round <= 2; round++) {
      qmpOf(kernel).execute("announce-self", { initial: 50, max: 50, rounds: 1, step: 10 });
      assertEquals((await within("a change", changes.next())).value, { type: "announce" });
      // Ours asks for the address of its own station; QEMU's own says it, and from QEMU.
      const rarp = await peer.next((frame) => frame[12] === 0x80 && frame[13] === 0x35);
      assertEquals([rarp.subarray(6, 12), rarp.subarray(22, 28)], [client.mac, client.mac]);
      await client.filter.setPromiscuous(true);
      const { statistics } = await device.describe();
      assertEquals(statistics["control.failed"], 0);
      assertEquals(statistics["control.commands"], 2 * round);
    }
  },
);

eachQemuTest("vtnet honours the MTU #vtnet:MTU #vtnet:config.mtu #vtnet:tx.too-long", async () => {
  for (const [mtu, card] of [[9000, ""], [1300, ",mrg_rxbuf=off"]] as const) {
    await using net = await rig(`,host_mtu=${mtu}${card}`);
    const { client, peer } = net;
    assertEquals(client.mtu, mtu);
    using frames = client.frames();
    const largest = frameOf(PEER, client.mac, mtu + 14);
    await client.send(largest);
    assertEquals(await peer.next(), largest);
    const back = frameOf(client.mac, PEER, mtu + 14, 3);
    await peer.send(back);
    assertEquals((await within("a frame", frames.next())).value?.bytes, back);
    const error = await assertRejects(
      () => client.send(frameOf(PEER, client.mac, mtu + 19)),
      RangeError,
    );
    assertStringIncludes(error.message, `since the MTU is ${mtu}`);
    await client.send(largest);
    assertEquals(await peer.next(), largest);
  }
});

eachQemuTest("vtnet tells speed and duplex #vtnet:SPEED_DUPLEX #vtnet:config.speed", async () => {
  await using net = await rig(",speed=2500,duplex=half");
  assertEquals([net.client.speed, net.client.duplex], [2500, "half"]);
  await using plain = await rig();
  assertEquals([plain.client.speed, plain.client.duplex], [undefined, undefined]);
});

qemuTest("vtnet sets again what was set, after a reset of the machine #vtnet:replay", async () => {
  for (const isolation of ["process", "inline"] as const) {
    await using net = await rig("", { isolation });
    const { client, kernel, peer } = net;
    using changes = client.changes();
    using frames = client.frames();
    await client.filter.setPromiscuous(false);
    await client.filter.setReceiveMode({ noBroadcast: true });
    await client.filter.setMacTable([mac("02:00:00:00:00:05")]);
    await client.filter.addVlan(7);
    await client.filter.addVlan(8);
    await client.filter.removeVlan(7);
    await client.setMac(mac("02:aa:bb:cc:dd:ee"));
    const before = rxFilter(kernel);
    qmpOf(kernel).execute("system_reset");
    // This one is on its way while the device comes back.
    const vlan = client.filter.addVlan(9);
    const { value } = await within("a change", changes.next());
    assertEquals(value, { type: "restarted", lost: [] });
    await vlan;
    const after = rxFilter(kernel);
    assertEquals(after, { ...before, "vlan-table": after["vlan-table"] });
    assertEquals(after["vlan-table"].toSorted(), [8, 9]);
    const frame = frameOf(PEER, client.mac, 500);
    await client.send(frame);
    assertEquals(await peer.next((each) => each[13] === 0xb5), frame);
    const back = frameOf(client.mac, PEER, 501);
    await peer.send(back);
    assertEquals((await within("a frame", frames.next())).value?.bytes, back);
  }
});

qemuTest("vtnet sets again what was set, when its driver was killed #vtnet:replay", async () => {
  await using net = await rig();
  const { client, kernel, peer, device } = net;
  using changes = client.changes();
  await client.filter.setPromiscuous(false);
  await client.filter.addVlan(7);
  const before = rxFilter(kernel);
  const sending = Array.from({ length: 50 }, () => client.send(frameOf(PEER, client.mac, 90)));
  Deno.kill(device.pid!, "SIGKILL");
  assertEquals((await within("a change", changes.next())).value?.type, "restarted");
  await Promise.all(sending);
  assertEquals(rxFilter(kernel), before);
  const frame = frameOf(PEER, client.mac, 500);
  await client.send(frame);
  assertEquals(await peer.next(({ length }) => length === 500), frame);
});

qemuTest(
  "vtnet without a control queue sends and receives, and says what it cannot do",
  async () => {
    await using net = await rig(",ctrl_vq=off");
    const { client } = net;
    const error = await assertRejects(() => client.filter.setPromiscuous(true), RequestError);
    assertEquals(error.status, Status.unsupported);
    const frame = frameOf(PEER, client.mac, 100);
    await client.send(frame);
    assertEquals(await net.peer.next(), frame);
  },
);

qemuTest(
  "vtnet writes its address into the configuration, before version 1 #vtnet:config.mac-legacy",
  async () => {
    await using net = await rig(",disable-legacy=off,ctrl_mac_addr=off", { legacy: true });
    const { client, kernel } = net;
    await client.setMac(mac("02:aa:bb:cc:dd:ee"));
    const deadline = performance.now() + 5000;
    while (rxFilter(kernel)["main-mac"] !== "02:aa:bb:cc:dd:ee") {
      assert(performance.now() < deadline, rxFilter(kernel)["main-mac"]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  },
);

qemuTest("vtnet has no more pairs than QEMU's network gives it #vtnet:config.mac", async () => {
  await using net = await rig(",mq=on");
  assertEquals(net.client.steering.queuePairs, 1);
  assertEquals(formatMac(net.client.mac), CARD);
  await assertRejects(() => net.client.steering.setQueuePairs(2), RangeError, "1 to 1");
  const { features } = await net.device.describe();
  assert(
    features.list.some(({ name, accepted }) => name === "VIRTIO_NET_F_CSUM" && accepted) === false,
  );
});

qemuTest("vtnet at QEMU's datagrams: one is one frame", async () => {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const free = createSocket("udp4");
  await new Promise<void>((resolve) => free.bind(0, "127.0.0.1", resolve));
  const { port } = free.address();
  await new Promise<void>((resolve) => free.close(() => resolve()));
  const local = `local.type=inet,local.host=127.0.0.1,local.port=${port}`;
  const remote = `remote.type=inet,remote.host=127.0.0.1,remote.port=${socket.address().port}`;
  {
    await using kernel = await openQemuKernel([
      ...["-netdev", `dgram,id=wire,${local},${remote}`],
      ...["-device", `virtio-net-pci,netdev=wire,mac=${CARD},romfile=`],
    ]);
    const { client } = await kernel.attachFirst("network");
    using frames = client.frames();
    for (const length of [14, 60, 1514]) {
      const came = new Promise<Uint8Array>((resolve) =>
        socket.once("message", (message) => resolve(Uint8Array.from(message)))
      );
      const frame = frameOf(PEER, client.mac, length);
      await client.send(frame);
      assertEquals(await within("a datagram", came), frame);
      const back = frameOf(client.mac, PEER, length, 5);
      socket.send(back, port, "127.0.0.1");
      assertEquals((await within("a frame", frames.next())).value?.bytes, back);
    }
  }
  await new Promise<void>((resolve) => socket.close(() => resolve()));
});

qemuTest("vtnet finds a station in QEMU's own network, by ARP and by ping", async () => {
  await using kernel = await openQemuKernel([
    ...["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="],
  ]);
  const { client } = await kernel.attachFirst("network");
  using frames = client.frames();
  const arp = new Uint8Array(60);
  arp.set([...Array(6).fill(255), ...client.mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
  arp.set([...client.mac, 10, 0, 2, 15, ...Array(6).fill(0), 10, 0, 2, 2], 22);
  await client.send(arp);
  for (;;) {
    const { value } = await within("an answer", frames.next());
    if (value?.bytes[13] !== 6 || value.bytes[21] !== 2) continue;
    assertEquals([...value.bytes.subarray(28, 32)], [10, 0, 2, 2]);
    break;
  }
});
