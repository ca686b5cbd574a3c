import { assert, assertEquals, assertRejects } from "@std/assert";
import { CliError, EXIT } from "../exit.ts";
import { type Ethernet, EtherType, readEthernet } from "./ethernet.ts";
import { FakeCard, GATEWAY, gateway, type Peer } from "./fake_test.ts";
import { maskOf, parseIpv4, Protocol, readIpv4 } from "./ipv4.ts";
import type { Ipv4Setup } from "./ipv4_setup.ts";
import { formatIpv6, parseIpv6 } from "./ipv6.ts";
import { autonomousAddress, isWithin, linkLocal } from "./ipv6_setup.ts";
import { Link } from "./link.ts";
import { joinIpv4, joinIpv6, type Network } from "./network.ts";
import { ping } from "./ping.ts";
import { readArp } from "./arp.ts";

const STATIC: Ipv4Setup = {
  address: parseIpv4("10.0.2.77")!,
  mask: maskOf(24),
  gateway: GATEWAY.ipv4,
};
const QUICK = { count: 3, interval: 1, size: 56, wait: 20 };

/** Joins a network, pings three times, and leaves it. */
async function pinged(
  peer: Peer,
  join: (link: Link) => Promise<Network>,
): Promise<{ card: FakeCard; facts: unknown[]; answers: string[] }> {
  const card = new FakeCard(peer);
  await using link = new Link(card, new AbortController().signal);
  await using network = await join(link);
  const { path, gateway, lease } = network;
  const { answers, transmitted } = await ping(link, path, QUICK, () => {});
  assertEquals(transmitted, QUICK.count);
  return {
    card,
    facts: [path.source, path.target, gateway, lease],
    answers: answers.map(({ from, sequence, ttl, damaged, duplicate, error }) =>
      [from, sequence, ttl, ...(damaged ? ["damaged"] : []), ...(duplicate ? ["again"] : [])]
        .concat(error ?? []).join(" ")
    ),
  };
}

/** What a card sent, as frames. */
function sent({ sent: frames }: FakeCard): Ethernet[] {
  return frames.map((bytes) => readEthernet(bytes)!);
}

Deno.test("joinIpv4() is lent an address, and gives it back", async () => {
  const { card, facts, answers } = await pinged(
    gateway,
    (link) => joinIpv4(link, GATEWAY.ipv4, undefined),
  );
  const lease = { server: "10.0.2.2", seconds: 3600 };
  assertEquals(facts, ["10.0.2.15", "10.0.2.2", "10.0.2.2", lease]);
  assertEquals(answers, [1, 2, 3].map((sequence) => `10.0.2.2 ${sequence} 64`));
  const [discover, , , , , release] = sent(card).filter(({ type }) => type === EtherType.ipv4);
  assertEquals(readIpv4(discover!.payload)!.source, new Uint8Array(4));
  const last = readIpv4(release!.payload)!;
  assertEquals([last.protocol, [...last.destination]], [Protocol.udp, [10, 0, 2, 2]]);
  // Message type 7 in the first option.
  assertEquals([...last.payload.subarray(8 + 240, 8 + 243)], [53, 1, 7]);
});

Deno.test("joinIpv4() takes the address that it is given, and the gateway for others", async () => {
  const far = parseIpv4("198.51.100.7")!;
  const { card, facts, answers } = await pinged(gateway, (link) => joinIpv4(link, far, STATIC));
  assertEquals(facts, ["10.0.2.77", "198.51.100.7", "10.0.2.2", undefined]);
  assertEquals(answers.length, 3);
  assertEquals(sent(card).map(({ type }) => type), [
    EtherType.arp,
    ...QUICK.count === 3 ? [EtherType.ipv4, EtherType.ipv4, EtherType.ipv4] : [],
  ]);
});

Deno.test("joinIpv4() answers neighbours that ask for its address", async () => {
  const card = new FakeCard(gateway);
  await using link = new Link(card, new AbortController().signal);
  await using _network = await joinIpv4(link, GATEWAY.ipv4, STATIC);
  const [question] = card.sent;
  // The same question, from the gateway about us.
  const asked = question!.slice();
  asked.set(GATEWAY.mac, 6);
  asked.set(GATEWAY.mac, 22);
  asked.set(GATEWAY.ipv4, 28);
  asked.set(STATIC.address, 38);
  card.put(asked);
  card.put(asked.with(41, 78));
  await new Promise((resolve) => setTimeout(resolve));
  const answers = sent(card).slice(1).map((frame) => readArp(frame)!);
  assertEquals(answers.map(({ operation, sender }) => [operation, ...sender]), [[
    2,
    ...STATIC.address,
  ]]);
});

Deno.test("joinIpv4() says why a station cannot be reached", async () => {
  const { gateway: _, ...alone } = STATIC;
  const cases: [Peer, Ipv4Setup | undefined, string, string][] = [
    [() => [], undefined, "10.0.2.2", "Cannot get an address: no DHCP server answers"],
    [() => [], STATIC, "10.0.2.9", "Cannot reach 10.0.2.9: it does not answer ARP requests"],
    [
      () => [],
      STATIC,
      "192.0.2.1",
      "Cannot reach 192.0.2.1: the gateway 10.0.2.2 does not answer",
    ],
    [gateway, alone, "192.0.2.1", "Cannot reach 192.0.2.1: it is not on the network of 10.0.2.77"],
  ];
  await Promise.all(cases.map(async ([peer, setup, target, message]) => {
    await using link = new Link(new FakeCard(peer), new AbortController().signal, 50);
    const join = () => joinIpv4(link, parseIpv4(target)!, setup);
    const error = await assertRejects(join, CliError, message);
    assertEquals(error.exit, EXIT.failed);
  }));
});

Deno.test("joinIpv6() reaches what is on the link, and by an address from a router what is not", async () => {
  const near = await pinged(gateway, (link) => joinIpv6(link, GATEWAY.local, undefined));
  assertEquals(near.facts, ["fe80::5054:ff:fe12:3456", "fe80::2", undefined, undefined]);
  assertEquals(near.answers, [1, 2, 3].map((sequence) => `fe80::2 ${sequence} 255`));
  const same = await pinged(gateway, (link) => joinIpv6(link, GATEWAY.ipv6, undefined));
  assertEquals(same.facts, ["fec0::5054:ff:fe12:3456", "fec0::2", "fe80::2", undefined]);
  assertEquals(same.answers.length, 3);
  const far = await pinged(gateway, (link) => joinIpv6(link, parseIpv6("2001:db8::1")!, undefined));
  assertEquals(far.facts, ["fec0::5054:ff:fe12:3456", "2001:db8::1", "fe80::2", undefined]);
  assertEquals(far.answers.length, 3);
});

Deno.test("joinIpv6() takes the address that it is given, and says why a station cannot be reached", async () => {
  const given = { networks: [{ address: parseIpv6("fec0::77")!, prefix: 64 }] };
  const { facts } = await pinged(gateway, (link) => joinIpv6(link, GATEWAY.ipv6, given));
  assertEquals(facts, ["fec0::77", "fec0::2", undefined, undefined]);
  const cases: [Peer, string, string][] = [
    [gateway, "2001:db8::1", "Cannot reach 2001:db8::1: it is not on the network of fe80::5054:"],
    [() => [], "fec0::2", "Cannot reach fec0::2: it does not answer neighbor solicitations"],
  ];
  await Promise.all(cases.map(async ([peer, target, message]) => {
    await using link = new Link(new FakeCard(peer), new AbortController().signal, 50);
    await assertRejects(() => joinIpv6(link, parseIpv6(target)!, given), CliError, message);
  }));
});

Deno.test("autonomousAddress() is the one of RFC 4291", () => {
  const mac = Uint8Array.of(0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde);
  assertEquals(
    formatIpv6(autonomousAddress(parseIpv6("2001:db8::")!, mac)),
    "2001:db8::3656:78ff:fe9a:bcde",
  );
  assert(isWithin(linkLocal(mac), parseIpv6("fe80::1")!));
  assert(!isWithin(linkLocal(mac), parseIpv6("fe80:0:0:1::1")!));
  const network = { address: parseIpv6("2001:db8::")!, prefix: 28 };
  assert(isWithin(network, parseIpv6("2001:dbf:ffff::")!));
  assert(!isWithin(network, parseIpv6("2001:dc0::")!));
});
