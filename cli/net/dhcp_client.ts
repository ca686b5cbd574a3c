import { read32 } from "./bytes.ts";
import { BROADCAST, type Ethernet, EtherType } from "./ethernet.ts";
import {
  type Dhcp,
  DHCP_CLIENT,
  DHCP_SERVER,
  DhcpOption,
  dhcpRequest,
  DhcpType,
  readDhcpReply,
} from "./dhcp.ts";
import { ALL, ANY, ipv4Packet, Protocol, readIpv4 } from "./ipv4.ts";
import type { Ipv4Setup } from "./ipv4_setup.ts";
import type { Link } from "./link.ts";
import { readUdp, udpDatagram } from "./udp.ts";

/** Milliseconds until a question is asked again. */
const WAITS = [1000, 2000, 4000];

/** An address that a server lent us. */
export interface Lease extends Ipv4Setup {
  /** The server that lent it. */
  readonly server: Uint8Array;
  /** For how long, in seconds; undefined if it was not said. */
  readonly seconds: number | undefined;
}

/**
 * Asks for an address (RFC 2131, 3.1).
 *
 * @returns What to use; undefined if no server offers anything.
 */
export async function requestLease(link: Link): Promise<Lease | undefined> {
  const transaction = crypto.getRandomValues(new Uint32Array(1))[0]!;
  const say = (type: number, options: readonly (readonly [number, Uint8Array])[]) =>
    sendToAll(link, { transaction, client: ANY, mac: link.mac, options: optionsOf(type, options) });
  const offer = await link.ask(
    () => say(DhcpType.discover, []),
    (frame) => replyTo(frame, transaction, link.mac, [DhcpType.offer]),
    WAITS,
  );
  const server = offer && fourBytes(offer, DhcpOption.server);
  if (!server) return undefined;
  const answer = await link.ask(
    () => say(DhcpType.request, [[DhcpOption.address, offer.yours], [DhcpOption.server, server]]),
    (frame) => replyTo(frame, transaction, link.mac, [DhcpType.ack, DhcpType.nak]),
    WAITS,
  );
  if (!answer || typeOf(answer) === DhcpType.nak) return undefined;
  const seconds = fourBytes(answer, DhcpOption.lease);
  const gateway = answer.options.get(DhcpOption.router)?.slice(0, 4);
  return {
    address: answer.yours.slice(),
    // The mask of a class C network where the server says nothing: small enough to do no harm.
    mask: fourBytes(answer, DhcpOption.mask) ?? Uint8Array.of(255, 255, 255, 0),
    ...(gateway?.length === 4 ? { gateway } : {}),
    server,
    seconds: seconds && read32(seconds, 0),
  };
}

/** Gives an address back. The server does not answer. */
export function releaseLease(link: Link, { address, server }: Lease): void {
  const transaction = crypto.getRandomValues(new Uint32Array(1))[0]!;
  const options = optionsOf(DhcpType.release, [[DhcpOption.server, server]]);
  sendToAll(link, { transaction, client: address, mac: link.mac, options }, address, server);
}

function optionsOf(
  type: number,
  more: readonly (readonly [number, Uint8Array])[],
): ReadonlyMap<number, Uint8Array> {
  return new Map([
    [DhcpOption.type, Uint8Array.of(type)],
    ...more,
    [DhcpOption.wanted, Uint8Array.of(DhcpOption.mask, DhcpOption.router, DhcpOption.lease)],
  ]);
}

function sendToAll(
  link: Link,
  message: Omit<Dhcp, "yours">,
  source: Uint8Array = ANY,
  destination: Uint8Array = ALL,
): void {
  const payload = dhcpRequest(message);
  const datagram = udpDatagram(source, destination, {
    from: DHCP_CLIENT,
    to: DHCP_SERVER,
    payload,
  });
  const packet = ipv4Packet({ source, destination, protocol: Protocol.udp, payload: datagram });
  link.send(BROADCAST, EtherType.ipv4, packet);
}

/** What a server says to us, if the frame is one of these replies in our conversation. */
function replyTo(
  { type, payload }: Ethernet,
  transaction: number,
  mac: Uint8Array,
  types: readonly number[],
): Dhcp | undefined {
  const packet = type === EtherType.ipv4 ? readIpv4(payload) : undefined;
  const datagram = packet && readUdp(packet);
  if (!datagram || datagram.from !== DHCP_SERVER || datagram.to !== DHCP_CLIENT) return undefined;
  const reply = readDhcpReply(datagram.payload);
  const ours = reply?.transaction === transaction && reply.mac.every((byte, i) => byte === mac[i]);
  return ours && types.includes(typeOf(reply) ?? 0) ? reply : undefined;
}

function typeOf({ options }: Dhcp): number | undefined {
  return options.get(DhcpOption.type)?.[0];
}

function fourBytes({ options }: Dhcp, code: number): Uint8Array | undefined {
  const value = options.get(code);
  return value?.length === 4 ? value.slice() : undefined;
}
