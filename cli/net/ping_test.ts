import { assertEquals } from "@std/assert";
import { be16, concat } from "./bytes.ts";
import type { EchoPath } from "./echo_path.ts";
import { ethernetFrame, EtherType, readEthernet } from "./ethernet.ts";
import { FakeCard, GATEWAY, gateway, type Peer } from "./fake_test.ts";
import { ipv4Packet, parseIpv4, Protocol, readIpv4 } from "./ipv4.ts";
import { ipv4EchoPath } from "./ipv4_echo.ts";
import { ipv6EchoPath } from "./ipv6_echo.ts";
import { icmp6Packet } from "./icmp6.ts";
import { parseIpv6 } from "./ipv6.ts";
import { internetChecksum } from "../../classes/network/internet_checksum.ts";
import { Link } from "./link.ts";
import { ping, type PingAnswer } from "./ping.ts";
import { roundTrip } from "./round_trip.ts";

const OWN = parseIpv4("10.0.2.15")!;
const OWN6 = parseIpv6("fec0::15")!;

async function run(
  peer: Peer,
  { count = 2, wait = 30, makePath = ipv4Path as (link: Link) => EchoPath } = {},
) {
  const card = new FakeCard(peer);
  await using link = new Link(card, new AbortController().signal);
  const heard: PingAnswer[] = [];
  const options = { count, interval: 1, size: 10, wait };
  const result = await ping(link, makePath(link), options, (answer) => heard.push(answer));
  assertEquals(heard, result.answers);
  return { card, ...result };
}

function ipv4Path(link: Link): EchoPath {
  return ipv4EchoPath(link, OWN, GATEWAY.ipv4, GATEWAY.mac);
}

const line = ({ from, sequence, data, duplicate, damaged, error }: PingAnswer) =>
  [from, sequence, data?.length, error, duplicate && "again", damaged && "damaged"]
    .filter((word) => word !== undefined && word !== false).join(" ");

Deno.test("ping() hears what is sent back", async () => {
  const { transmitted, answers } = await run(gateway);
  assertEquals([transmitted, ...answers.map(line)], [2, "10.0.2.2 1 10", "10.0.2.2 2 10"]);
});

Deno.test("ping() tells apart what comes twice, changed, late, or for others", async () => {
  const twice = await run((frame) => [...gateway(frame), ...gateway(frame)], { count: 1 });
  assertEquals(twice.answers.map(line), ["10.0.2.2 1 10", "10.0.2.2 1 10 again"]);
  const changed = await run((frame) => gateway(frame).map(withData));
  assertEquals(changed.answers.map(line), ["10.0.2.2 1 10 damaged", "10.0.2.2 2 10 damaged"]);
  const others = await run((frame) => gateway(frame).map((bytes) => bytes.with(33, 99)));
  assertEquals(others.answers, []);
  assertEquals((await run(() => [])).transmitted, 2);
});

/** Another byte in the data of an echo, and the checksum that belongs to it. */
function withData(bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  changed[45]! ^= 1;
  changed.set([0, 0], 36);
  changed.set(be16(internetChecksum(changed, 34)), 36);
  return changed;
}

Deno.test("ping() hears why a request did not get there", async () => {
  const router = parseIpv4("10.0.2.1")!;
  const refuse = (type: number, code: number): Peer => ({ payload, source }) => {
    const packet = readIpv4(payload);
    if (!packet) return [];
    const message = concat([type, code, 0, 0, 0, 0, 0, 0], payload.subarray(0, 28));
    message.set(be16(internetChecksum(message)), 2);
    const way = { source: router, destination: packet.source };
    const error = ipv4Packet({ ...way, protocol: Protocol.icmp, payload: message });
    return [ethernetFrame(source, GATEWAY.mac, EtherType.ipv4, error)];
  };
  const unreachable = await run(refuse(3, 1), { count: 1 });
  assertEquals(unreachable.answers.map(line), ["10.0.2.1 1 Destination Host Unreachable"]);
  const expired = await run(refuse(11, 0), { count: 1 });
  assertEquals(expired.answers.map(line), ["10.0.2.1 1 Time to live exceeded"]);
  assertEquals((await run(refuse(5, 0), { count: 1 })).answers, []);
});

Deno.test("ping() hears why a request did not get there by IPv6", async () => {
  const router = parseIpv6("fec0::1")!;
  const peer: Peer = ({ payload, source }) => {
    const message = concat([1, 3, 0, 0, 0, 0, 0, 0], payload);
    const error = icmp6Packet(router, OWN6, 255, message);
    return [ethernetFrame(source, GATEWAY.mac, EtherType.ipv6, error)];
  };
  const makePath = (link: Link) => ipv6EchoPath(link, OWN6, GATEWAY.ipv6, GATEWAY.mac);
  const { answers } = await run(peer, { count: 1, makePath });
  assertEquals(answers.map(line), ["fec0::1 1 Destination unreachable: Address unreachable"]);
});

Deno.test("ping() ends with what it has when it is told to, and when the card is gone", async () => {
  for (const how of ["told", "gone"] as const) {
    const controller = new AbortController();
    const card = new FakeCard(gateway);
    await using link = new Link(card, controller.signal);
    const options = { count: 1000, interval: 5, size: 0, wait: 10 };
    const result = await ping(link, ipv4Path(link), options, ({ sequence }) => {
      if (sequence === 2) how === "told" ? controller.abort() : card.end();
    });
    assertEquals(result.answers.length, 2, how);
    assertEquals(result.transmitted, 2, how);
  }
});

Deno.test("ping() waits for no card that does not send", async () => {
  class Stuck extends FakeCard {
    override send(): Promise<void> {
      return new Promise(() => {});
    }
  }
  await using link = new Link(new Stuck(), new AbortController().signal);
  const options = { count: 2, interval: 1, size: 0, wait: 1 };
  const { transmitted, answers } = await ping(link, ipv4Path(link), options, () => {});
  assertEquals([transmitted, answers.length], [2, 0]);
});

Deno.test("Link takes no frame of another network for one of its own", async () => {
  const card = new FakeCard();
  await using link = new Link(card, new AbortController().signal);
  const heard: number[] = [];
  using _listening = link.listen(({ type }) => heard.push(type));
  const frame = ethernetFrame(card.mac, GATEWAY.mac, 0x88b5, new Uint8Array(4));
  const tagged = (vlan: number) => concat(frame.subarray(0, 12), [0x81, 0, ...be16(vlan), 8, 0]);
  for (const bytes of [frame, tagged(7), frame.subarray(0, 13), tagged(0)]) card.put(bytes);
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(heard, [0x88b5, 0x800]);
  assertEquals(readEthernet(tagged(7))?.vlan, 7);
});

Deno.test("roundTrip() has the figures of ping(8)", () => {
  assertEquals(roundTrip([]), undefined);
  assertEquals(roundTrip([3]), { minimum: 3, average: 3, maximum: 3, deviation: 0 });
  assertEquals(roundTrip([1, 2, 3, 6]), {
    minimum: 1,
    average: 3,
    maximum: 6,
    deviation: Math.sqrt((4 + 1 + 0 + 9) / 4),
  });
});
