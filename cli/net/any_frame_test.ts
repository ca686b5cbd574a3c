// What comes in from a network is not trusted: no reader of frames may fall over it.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { readArp } from "./arp.ts";
import { describeFrame } from "./describe_frame.ts";
import { readDhcpReply } from "./dhcp.ts";
import { readEthernet } from "./ethernet.ts";
import { FakeCard, GATEWAY, gateway } from "./fake_test.ts";
import { internetChecksum } from "../../classes/network/internet_checksum.ts";
import { readIpv4 } from "./ipv4.ts";
import { parseIpv6 } from "./ipv6.ts";
import { Link } from "./link.ts";
import { joinIpv4, joinIpv6, type Network } from "./network.ts";
import { ping } from "./ping.ts";
import { readUdp } from "./udp.ts";

/** All that the gateway said while it was pinged in every way. */
async function conversation(): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  const card = new FakeCard((frame) => {
    const answers = gateway(frame);
    frames.push(...answers);
    return answers;
  });
  await using link = new Link(card, new AbortController().signal);
  const options = { count: 1, interval: 1, size: 8, wait: 10 };
  for (
    const join of [
      () => joinIpv4(link, GATEWAY.ipv4, undefined),
      () => joinIpv6(link, GATEWAY.ipv6, undefined),
    ]
  ) {
    await using network = await join();
    await ping(link, network.path, options, () => {});
  }
  return frames;
}

/** Frames of a conversation, each changed somewhere; half of them with the checksums that then are right. */
function damaged(frames: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc.record({
    frame: fc.constantFrom(...frames),
    changes: fc.array(fc.tuple(fc.nat(400), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
    length: fc.oneof(fc.constant(1000), fc.nat(400)),
    repaired: fc.boolean(),
  }).map(({ frame, changes, length, repaired }) => {
    const bytes = frame.slice(0, length);
    for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
    if (repaired && bytes.length >= 34 && bytes[12] === 8 && bytes[13] === 0) {
      bytes.set([0, 0], 24);
      const sum = internetChecksum(bytes, 14, 34);
      bytes.set([sum >> 8, sum & 0xff], 24);
    }
    return bytes;
  });
}

Deno.test("readers of frames take any bytes", async () => {
  const frames = await conversation();
  assertEquals(frames.length, 7, "offer, ack, advertisements, and answers to both pings and ARP");
  fc.assert(fc.property(damaged(frames), (bytes) => {
    const frame = readEthernet(bytes);
    describeFrame(bytes);
    if (!frame) return;
    readArp(frame);
    const packet = readIpv4(frame.payload);
    const datagram = packet && readUdp(packet);
    if (datagram) readDhcpReply(datagram.payload);
    readDhcpReply(frame.payload);
  }));
});

Deno.test("Link, joinIpv4(), joinIpv6() and ping() stand a network full of damaged frames", async () => {
  const noise = fc.sample(damaged(await conversation()), { numRuns: 2000, seed: 7 });
  let next = 0;
  const card = new FakeCard((frame) => [
    ...Array.from({ length: 20 }, () => noise[next++ % noise.length]!),
    ...gateway(frame),
  ]);
  const setup = { address: GATEWAY.lent, mask: Uint8Array.of(255, 255, 255, 0) };
  const setup6 = { networks: [{ address: parseIpv6("fec0::15")!, prefix: 64 }] };
  const joins: readonly ((link: Link) => Promise<Network>)[] = [
    (link) => joinIpv4(link, GATEWAY.ipv4, setup),
    (link) => joinIpv6(link, GATEWAY.ipv6, setup6),
    (link) => joinIpv6(link, GATEWAY.local, undefined),
  ];
  for (const join of joins) {
    await using link = new Link(card, new AbortController().signal, 10);
    await using network = await join(link);
    const options = { count: 20, interval: 1, size: 8, wait: 10 };
    const { answers } = await ping(link, network.path, options, () => {});
    const good = answers.filter(({ damaged, error }) => !damaged && error === undefined);
    assertEquals(new Set(good.map(({ sequence }) => sequence)).size, 20);
  }
});
