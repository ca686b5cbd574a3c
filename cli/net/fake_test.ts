// No tests, but what the tests here share: a card in memory, and a network behind it.
import { type Feed, News } from "../../core/class/mod.ts";
import type { Frame } from "../../classes/network/frame.ts";
import type { Card } from "./card.ts";
import { arpMessage, ArpOperation, readArp } from "./arp.ts";
import { be16, be32, concat, equal, read16, read32 } from "./bytes.ts";
import { FRAME_HEADER, parseMac } from "../../classes/network/protocol.ts";
import { type Ethernet, ethernetFrame, EtherType, readEthernet } from "./ethernet.ts";
import { icmpEcho, IcmpType, readIcmpEcho } from "./icmp.ts";
import { icmp6Packet, Icmp6Type, readIcmp6 } from "./icmp6.ts";
import { ipv4Packet, parseIpv4, Protocol, readIpv4 } from "./ipv4.ts";
import { parseIpv6 } from "./ipv6.ts";
import { readUdp, udpDatagram } from "./udp.ts";

/** Says what comes back for a frame. */
export type Peer = (frame: Ethernet) => readonly Uint8Array[];

/** A card in memory; what it sends goes to `peer`, and what that answers comes in. */
export class FakeCard implements Card {
  readonly mac: Uint8Array<ArrayBuffer> = parseMac("52:54:00:12:34:56")!;
  readonly mtu: number;
  readonly speed = 10_000;
  linkUp = true;
  readonly offloads: Card["offloads"] = {
    transmit: {
      checksum: false,
      tcp4: false,
      tcp6: false,
      ecn: false,
      udpFragments: false,
      udp: false,
    },
    receive: {
      checksum: false,
      tcp4: false,
      tcp6: false,
      ecn: false,
      udpFragments: false,
      udp4: false,
      udp6: false,
    },
  };
  /** What was sent. */
  readonly sent: Uint8Array[] = [];
  /** What was asked for. */
  promiscuous: boolean | undefined;
  readonly #peer: Peer;
  readonly #frames = new News<Frame>("Card.frames", { capacity: 1024, keep: "oldest" });

  constructor(peer: Peer = () => [], mtu = 1500) {
    this.#peer = peer;
    this.mtu = mtu;
  }

  /** A frame comes in. */
  put(bytes: Uint8Array): void {
    const frame: Frame = { bytes: bytes.slice(), checksum: "unknown", pair: 0 };
    this.#frames.tell(frame, ({ bytes, ...more }) => ({ ...more, bytes: bytes.slice() }));
  }

  /** The device is gone. */
  end(): void {
    this.#frames.end();
  }

  frames(capacity?: number, signal?: AbortSignal): Feed<Frame> {
    return this.#frames.feed({ capacity, signal });
  }

  // deno-lint-ignore require-await -- so that errors are rejections
  async send(bytes: Uint8Array): Promise<void> {
    this.trySend(bytes);
  }

  trySend(bytes: Uint8Array): boolean {
    // A tag of a VLAN comes on top.
    const most = this.mtu + FRAME_HEADER + 4;
    if (bytes.length > most) {
      throw new RangeError(`Cannot send ${bytes.length} bytes: a frame has up to ${most}`);
    }
    const copy = bytes.slice();
    this.sent.push(copy);
    for (const answer of this.#peer(readEthernet(copy)!)) queueMicrotask(() => this.put(answer));
    return true;
  }

  setOffloads(): Promise<void> {
    return Promise.reject(new TypeError("There are none"));
  }

  readonly filter: Card["filter"] = {
    setPromiscuous: (on) => {
      this.promiscuous = on;
      return Promise.resolve();
    },
  };
}

/** A station on the network behind a {@linkcode FakeCard}: 10.0.2.2 and fe80::2, with DHCP and a prefix. */
export const GATEWAY = {
  mac: parseMac("52:55:0a:00:02:02")!,
  ipv4: parseIpv4("10.0.2.2")!,
  local: parseIpv6("fe80::2")!,
  ipv6: parseIpv6("fec0::2")!,
  /** What it lends. */
  lent: parseIpv4("10.0.2.15")!,
} as const;

/** Answers for {@linkcode GATEWAY}, and passes echo requests on to everywhere. */
export function gateway(frame: Ethernet): readonly Uint8Array[] {
  return [...answerArp(frame), ...answerIpv4(frame), ...answerIpv6(frame)];
}

function reply(frame: Ethernet, type: number, packet: Uint8Array): Uint8Array {
  return ethernetFrame(frame.source, GATEWAY.mac, type, packet);
}

function answerArp(frame: Ethernet): readonly Uint8Array[] {
  const arp = readArp(frame);
  if (!arp || !equal(arp.target, GATEWAY.ipv4)) return [];
  const answer = arpMessage({
    operation: ArpOperation.reply,
    senderMac: GATEWAY.mac,
    sender: GATEWAY.ipv4,
    targetMac: arp.senderMac,
    target: arp.sender,
  });
  return [reply(frame, EtherType.arp, answer)];
}

function answerIpv4(frame: Ethernet): readonly Uint8Array[] {
  const packet = frame.type === EtherType.ipv4 ? readIpv4(frame.payload) : undefined;
  if (!packet) return [];
  const back = { source: packet.destination, destination: packet.source };
  const echo = readIcmpEcho(packet.payload, IcmpType.echoRequest);
  if (packet.protocol === Protocol.icmp && echo) {
    const payload = icmpEcho(IcmpType.echoReply, echo);
    return [
      reply(frame, EtherType.ipv4, ipv4Packet({ ...back, protocol: Protocol.icmp, payload })),
    ];
  }
  const datagram = readUdp(packet);
  return datagram?.to === 67 ? answerDhcp(frame, datagram.payload) : [];
}

/** Written by hand, so that not only one side's idea of DHCP is tested. */
function answerDhcp(frame: Ethernet, request: Uint8Array): readonly Uint8Array[] {
  const type = request[242]!;
  if (type !== 1 && type !== 3) return [];
  const payload = concat(
    [2, 1, 6, 0, ...be32(read32(request, 4)), 0, 0, ...be16(read16(request, 10))],
    [0, 0, 0, 0],
    GATEWAY.lent,
    new Uint8Array(8),
    request.subarray(28, 44),
    new Uint8Array(192),
    [0x63, 0x82, 0x53, 0x63, 0, 53, 1, type === 1 ? 2 : 5, 54, 4, ...GATEWAY.ipv4],
    [1, 4, 255, 255, 255, 0, 3, 4, ...GATEWAY.ipv4, 51, 4, ...be32(3600), 255],
  );
  const way = { source: GATEWAY.ipv4, destination: Uint8Array.of(255, 255, 255, 255) };
  const datagram = udpDatagram(way.source, way.destination, { from: 67, to: 68, payload });
  return [
    reply(frame, EtherType.ipv4, ipv4Packet({ ...way, protocol: Protocol.udp, payload: datagram })),
  ];
}

function answerIpv6(frame: Ethernet): readonly Uint8Array[] {
  const packet = readIcmp6(frame);
  if (!packet) return [];
  const { payload, source, destination } = packet;
  const answer = (from: Uint8Array, message: Uint8Array) => [
    reply(frame, EtherType.ipv6, icmp6Packet(from, source, 255, message)),
  ];
  switch (payload[0]) {
    case Icmp6Type.routerSolicitation:
      return answer(
        GATEWAY.local,
        concat(
          [Icmp6Type.routerAdvertisement, 0, 0, 0, 64, 0, 7, 8, ...be32(0), ...be32(0)],
          [1, 1, ...GATEWAY.mac],
          [3, 4, 64, 0xc0, ...be32(86400), ...be32(14400), 0, 0, 0, 0],
          parseIpv6("fec0::")!,
        ),
      );
    case Icmp6Type.neighborSolicitation: {
      const target = payload.subarray(8, 24);
      if (!equal(target, GATEWAY.local) && !equal(target, GATEWAY.ipv6)) return [];
      const flags = [0x60, 0, 0, 0];
      return answer(
        target,
        concat(
          [Icmp6Type.neighborAdvertisement, 0, 0, 0],
          flags,
          target,
          [2, 1],
          GATEWAY.mac,
        ),
      );
    }
    case Icmp6Type.echoRequest:
      return answer(destination, concat([Icmp6Type.echoReply, 0, 0, 0], payload.subarray(4)));
    default:
      return [];
  }
}
