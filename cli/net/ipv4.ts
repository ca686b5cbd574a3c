import { internetChecksum } from "../../classes/network/mod.ts";
import { be16, concat, read16 } from "./bytes.ts";

/** Bytes of a packet's header, without options. */
export const IPV4_HEADER = 20;

/** What an IP packet carries. */
export const Protocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

/** No station, as a source. */
export const ANY: Uint8Array = new Uint8Array(4);
/** All on this network. */
export const ALL: Uint8Array = new Uint8Array(4).fill(255);

/** A packet, taken apart. */
export interface Ipv4 {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Hops that it had left. */
  readonly ttl: number;
  readonly protocol: number;
  /** Whether this is a part of a larger packet. */
  readonly fragment: boolean;
  readonly payload: Uint8Array;
}

/** Takes a packet apart; undefined if it is none, cut short, or its header is damaged (RFC 791, 3.1). */
export function readIpv4(packet: Uint8Array): Ipv4 | undefined {
  if (packet.length < IPV4_HEADER || packet[0]! >> 4 !== 4) return undefined;
  const header = (packet[0]! & 0xf) * 4;
  const length = read16(packet, 2);
  if (header < IPV4_HEADER || length < header || length > packet.length) return undefined;
  if (internetChecksum(packet, 0, header) !== 0) return undefined;
  return {
    source: packet.subarray(12, 16),
    destination: packet.subarray(16, 20),
    ttl: packet[8]!,
    protocol: packet[9]!,
    // All but the flag that forbids fragments.
    fragment: (read16(packet, 6) & 0xbfff) !== 0,
    payload: packet.subarray(header, length),
  };
}

/** Makes a packet that must not be fragmented. */
export function ipv4Packet(
  { source, destination, protocol, payload }: Pick<
    Ipv4,
    "source" | "destination" | "protocol" | "payload"
  >,
): Uint8Array<ArrayBuffer> {
  const header = concat(
    [0x45, 0, ...be16(IPV4_HEADER + payload.length), 0, 0, 0x40, 0, 64, protocol, 0, 0],
    source,
    destination,
  );
  header.set(be16(internetChecksum(header)), 10);
  return concat(header, payload);
}

/** An address as people write it. */
export function formatIpv4(address: Uint8Array): string {
  return address.join(".");
}

/** The address in a text; undefined if there is none. */
export function parseIpv4(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const numbers = text.split(".").map(Number);
  return numbers.every((number) => number < 256) ? Uint8Array.from(numbers) : undefined;
}

/** The mask whose first `length` bits are set. */
export function maskOf(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: 4 }, (_, i) => {
    const bits = Math.min(8, Math.max(0, length - 8 * i));
    return 0xff << (8 - bits);
  });
}
