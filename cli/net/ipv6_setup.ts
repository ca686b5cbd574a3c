import { concat, equal, read16 } from "./bytes.ts";
import { EtherType } from "./ethernet.ts";
import { icmp6Packet, Icmp6Type, NEIGHBOR_HOPS, readIcmp6 } from "./icmp6.ts";
import { parseIpv6 } from "./ipv6.ts";
import type { Link } from "./link.ts";

/** An address and what others on its network have in common with it. */
export interface Ipv6Network {
  readonly address: Uint8Array;
  /** Bits. */
  readonly prefix: number;
}

/** How we take part in an IPv6 network. */
export interface Ipv6Setup {
  /** Ours; that for this link alone is the first. */
  readonly networks: readonly Ipv6Network[];
  /** The router for what is not on these networks. */
  readonly router?: Uint8Array;
}

/** Milliseconds until a question is asked again. */
const WAITS = [300, 1000, 1000];

/** Options of messages between neighbours (RFC 4861, 4.6). */
const OPTION = { sourceMac: 1, targetMac: 2, prefix: 3 } as const;
const ALL_ROUTERS = parseIpv6("ff02::2")!;
const ALL_NODES = parseIpv6("ff02::1")!;
/** Use this prefix for an address of your own. */
const AUTONOMOUS = 0x40;
/** Solicited, and it replaces what was known. */
const SOLICITED_OVERRIDE = 0x60;

/** The address in a network of 64 bits that a card makes of its hardware address (RFC 4291, appendix A). */
export function autonomousAddress(prefix: Uint8Array, mac: Uint8Array): Uint8Array<ArrayBuffer> {
  const identifier = [mac[0]! ^ 2, mac[1]!, mac[2]!, 0xff, 0xfe, mac[3]!, mac[4]!, mac[5]!];
  return concat(prefix.subarray(0, 8), identifier);
}

/** The address that holds on this link alone. */
export function linkLocal(mac: Uint8Array): Ipv6Network {
  return { address: autonomousAddress(parseIpv6("fe80::")!, mac), prefix: 64 };
}

/** Whether an address is of this network. */
export function isWithin({ address, prefix }: Ipv6Network, other: Uint8Array): boolean {
  return address.every((byte, i) => {
    const bits = Math.min(8, Math.max(0, prefix - 8 * i));
    return ((byte ^ other[i]!) & 0xff << (8 - bits) & 0xff) === 0;
  });
}

/** Asks routers what networks there are (RFC 4861, 6.3), and takes an address in each. */
export async function solicitRouter(link: Link): Promise<Ipv6Setup> {
  const local = linkLocal(link.mac);
  const solicitation = concat(
    [Icmp6Type.routerSolicitation, 0, 0, 0, 0, 0, 0, 0],
    [OPTION.sourceMac, 1],
    link.mac,
  );
  const packet = icmp6Packet(local.address, ALL_ROUTERS, NEIGHBOR_HOPS, solicitation);
  const setup = await link.ask(
    () => link.send(multicastMac(ALL_ROUTERS), EtherType.ipv6, packet),
    (frame): Ipv6Setup | undefined => {
      const found = readIcmp6(frame, 16);
      if (found?.payload[0] !== Icmp6Type.routerAdvertisement) return undefined;
      if (found.hops !== NEIGHBOR_HOPS) return undefined;
      const networks = optionsOf(found.payload.subarray(16), OPTION.prefix)
        .filter((option) =>
          option.length === 32 && option[2] === 64 && (option[3]! & AUTONOMOUS) !== 0
        )
        .map((option) => ({
          address: autonomousAddress(option.subarray(16), link.mac),
          prefix: 64,
        }));
      // A router without a lifetime passes nothing on.
      const router = read16(found.payload, 6) > 0 ? { router: found.source.slice() } : {};
      return { networks: [local, ...networks], ...router };
    },
    WAITS,
  );
  return setup ?? { networks: [local] };
}

/** The hardware address of a neighbour (RFC 4861, 7.2); undefined if he does not answer. */
export function resolveNeighbor(
  link: Link,
  source: Uint8Array,
  target: Uint8Array,
): Promise<Uint8Array | undefined> {
  const destination = solicitedNode(target);
  const solicitation = concat(
    [Icmp6Type.neighborSolicitation, 0, 0, 0, 0, 0, 0, 0],
    target,
    [OPTION.sourceMac, 1],
    link.mac,
  );
  const packet = icmp6Packet(source, destination, NEIGHBOR_HOPS, solicitation);
  return link.ask(
    () => link.send(multicastMac(destination), EtherType.ipv6, packet),
    (frame) => {
      const found = readIcmp6(frame, 24);
      if (found?.payload[0] !== Icmp6Type.neighborAdvertisement) return undefined;
      if (found.hops !== NEIGHBOR_HOPS) return undefined;
      if (!equal(found.payload.subarray(8, 24), target)) return undefined;
      const [option] = optionsOf(found.payload.subarray(24), OPTION.targetMac);
      return (option ? option.subarray(2, 8) : frame.source).slice();
    },
    WAITS,
  );
}

/** Tells stations that ask that these addresses are ours, until the result is disposed. */
export function answerNeighbors(link: Link, addresses: readonly Uint8Array[]): Disposable {
  return link.listen((frame) => {
    const found = readIcmp6(frame, 24);
    if (found?.payload[0] !== Icmp6Type.neighborSolicitation || found.hops !== NEIGHBOR_HOPS) {
      return;
    }
    const target = found.payload.slice(8, 24);
    if (!addresses.some((address) => equal(address, target))) return;
    const advertisement = concat(
      [Icmp6Type.neighborAdvertisement, 0, 0, 0, SOLICITED_OVERRIDE, 0, 0, 0],
      target,
      [OPTION.targetMac, 1],
      link.mac,
    );
    // A station without an address yet is told with all others.
    const destination = found.source.some((byte) => byte !== 0) ? found.source : ALL_NODES;
    const packet = icmp6Packet(target, destination, NEIGHBOR_HOPS, advertisement);
    link.send(frame.source, EtherType.ipv6, packet);
  });
}

/** The group in which a station hears questions about it (RFC 4291, 2.7.1). */
function solicitedNode(address: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat(parseIpv6("ff02::1:ff00:0")!.subarray(0, 13), address.subarray(13));
}

/** The hardware address of a group (RFC 2464, 7). */
function multicastMac(group: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([0x33, 0x33], group.subarray(12));
}

/** All options of a kind, each whole. */
function optionsOf(bytes: Uint8Array, kind: number): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = 8 * bytes[at + 1]!;
    if (length === 0 || at + length > bytes.length) break;
    if (bytes[at] === kind) found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}
