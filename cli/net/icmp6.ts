import { be16 } from "./bytes.ts";
import { type Ethernet, EtherType } from "./ethernet.ts";
import { Protocol } from "./ipv4.ts";
import { type Ipv6, ipv6Checksum, ipv6Packet, readIpv6 } from "./ipv6.ts";

/** Types of ICMPv6 messages (RFC 4443, RFC 4861). */
export const Icmp6Type = {
  unreachable: 1,
  tooBig: 2,
  timeExceeded: 3,
  echoRequest: 128,
  echoReply: 129,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighborSolicitation: 135,
  neighborAdvertisement: 136,
} as const;

/** Hops of messages between neighbours: what has fewer came from elsewhere (RFC 4861, 7.1). */
export const NEIGHBOR_HOPS = 255;

/** Makes a packet of a message, and fills its checksum in. */
export function icmp6Packet(
  source: Uint8Array,
  destination: Uint8Array,
  hops: number,
  message: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const payload = message.slice();
  payload.set([0, 0], 2);
  const packet = { source, destination, hops, next: Protocol.icmp6, payload };
  payload.set(be16(ipv6Checksum(packet)), 2);
  return ipv6Packet(packet);
}

/** The packet with a message in a frame; undefined if there is none, or it is damaged or shorter than `least`. */
export function readIcmp6({ type, payload }: Ethernet, least = 8): Ipv6 | undefined {
  const packet = type === EtherType.ipv6 ? readIpv6(payload) : undefined;
  if (packet?.next !== Protocol.icmp6 || packet.payload.length < least) return undefined;
  return ipv6Checksum(packet) === 0 ? packet : undefined;
}

const UNREACHABLE = [
  "No route",
  "Administratively prohibited",
  "Beyond scope of source address",
  "Address unreachable",
  "Port unreachable",
];

/** What an error message says, as ping(8) says it. */
export function icmp6Error(type: number, code: number): string | undefined {
  if (type === Icmp6Type.timeExceeded) return "Time exceeded";
  if (type === Icmp6Type.tooBig) return "Packet too big";
  if (type !== Icmp6Type.unreachable) return undefined;
  return `Destination unreachable: ${UNREACHABLE[code] ?? `code ${code}`}`;
}
