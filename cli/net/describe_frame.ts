import { formatMac } from "../../classes/network/mod.ts";
import { ArpOperation, readArp } from "./arp.ts";
import { read16 } from "./bytes.ts";
import { type Ethernet, EtherType, readEthernet } from "./ethernet.ts";
import { echoOf, icmpError, IcmpType } from "./icmp.ts";
import { icmp6Error, Icmp6Type } from "./icmp6.ts";
import { formatIpv4, Protocol, readIpv4 } from "./ipv4.ts";
import { formatIpv6, readIpv6 } from "./ipv6.ts";

/** A frame on one line: source and destination, its length, and what it carries. */
export function describeFrame(bytes: Uint8Array): string {
  const frame = readEthernet(bytes);
  if (!frame) return `${bytes.length} bytes, too short for a frame`;
  const { source, destination, vlan } = frame;
  const tag = vlan === undefined ? "" : ` vlan ${vlan}`;
  return `${formatMac(source)} > ${formatMac(destination)}${tag}, length ${bytes.length}: ` +
    describePayload(frame);
}

function describePayload(frame: Ethernet): string {
  const { type, payload } = frame;
  switch (type) {
    case EtherType.arp:
      return describeArp(frame);
    case EtherType.ipv4:
      return describeIpv4(payload);
    case EtherType.ipv6:
      return describeIpv6(payload);
    default:
      return type < 0x600 ? "IEEE 802.3" : `type 0x${type.toString(16).padStart(4, "0")}`;
  }
}

function describeArp(frame: Ethernet): string {
  const arp = readArp(frame);
  if (!arp) return "ARP, malformed";
  const [sender, target] = [formatIpv4(arp.sender), formatIpv4(arp.target)];
  return arp.operation === ArpOperation.request
    ? `ARP, who has ${target}? tell ${sender}`
    : `ARP, ${sender} is at ${formatMac(arp.senderMac)}`;
}

function describeIpv4(payload: Uint8Array): string {
  const packet = readIpv4(payload);
  if (!packet) return "IPv4, malformed";
  const [source, destination] = [formatIpv4(packet.source), formatIpv4(packet.destination)];
  if (packet.fragment) return `IPv4 ${source} > ${destination}, fragment`;
  return `IPv4 ${describeTransport(packet.protocol, packet.payload, source, destination)}`;
}

function describeIpv6(payload: Uint8Array): string {
  const packet = readIpv6(payload);
  if (!packet) return "IPv6, malformed";
  const [source, destination] = [formatIpv6(packet.source), formatIpv6(packet.destination)];
  return `IPv6 ${describeTransport(packet.next, packet.payload, source, destination)}`;
}

function describeTransport(
  protocol: number,
  payload: Uint8Array,
  source: string,
  destination: string,
): string {
  const between = `${source} > ${destination}`;
  const ports = () => `${source}.${read16(payload, 0)} > ${destination}.${read16(payload, 2)}`;
  switch (protocol) {
    case Protocol.icmp:
      return `${between}, ICMP ${payload.length < 8 ? "malformed" : describeIcmp(payload)}`;
    case Protocol.icmp6:
      return `${between}, ICMPv6 ${payload.length < 8 ? "malformed" : describeIcmp6(payload)}`;
    case Protocol.udp:
      if (payload.length < 8) return `${between}, UDP malformed`;
      return `${ports()}, UDP, ${payload.length - 8} bytes`;
    case Protocol.tcp: {
      const header = payload.length < 20 ? 0 : (payload[12]! >> 4) * 4;
      if (header < 20 || header > payload.length) return `${between}, TCP malformed`;
      return `${ports()}, TCP ${describeFlags(payload[13]!)}, ${payload.length - header} bytes`;
    }
    default:
      return `${between}, protocol ${protocol}`;
  }
}

/** As tcpdump has them. */
function describeFlags(flags: number): string {
  const letters = [..."FSRP.U"].filter((_, bit) => flags >> bit & 1);
  return `[${letters.join("") || "none"}]`;
}

function describeIcmp(message: Uint8Array): string {
  const [type, code] = message as unknown as [number, number];
  const { identifier, sequence } = echoOf(message);
  if (type === IcmpType.echoRequest) return `echo request, id ${identifier}, seq ${sequence}`;
  if (type === IcmpType.echoReply) return `echo reply, id ${identifier}, seq ${sequence}`;
  return icmpError(type, code) ?? `type ${type}, code ${code}`;
}

const ICMP6_NAMES: ReadonlyMap<number, string> = new Map([
  [Icmp6Type.echoRequest, "echo request"],
  [Icmp6Type.echoReply, "echo reply"],
  [Icmp6Type.routerSolicitation, "router solicitation"],
  [Icmp6Type.routerAdvertisement, "router advertisement"],
  [Icmp6Type.neighborSolicitation, "neighbor solicitation"],
  [Icmp6Type.neighborAdvertisement, "neighbor advertisement"],
]);

function describeIcmp6(message: Uint8Array): string {
  const [type, code] = message as unknown as [number, number];
  const name = ICMP6_NAMES.get(type) ?? icmp6Error(type, code) ?? `type ${type}, code ${code}`;
  const isEcho = type === Icmp6Type.echoRequest || type === Icmp6Type.echoReply;
  const { identifier, sequence } = echoOf(message);
  return isEcho ? `${name}, id ${identifier}, seq ${sequence}` : name;
}
