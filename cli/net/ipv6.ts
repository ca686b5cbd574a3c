import { internetChecksum } from "../../classes/network/mod.ts";
import { be16, be32, concat, read16 } from "./bytes.ts";

/** Bytes of a packet's header. */
export const IPV6_HEADER = 40;

/** What every link that carries IPv6 must take (RFC 8200, 5). */
export const IPV6_LEAST_MTU = 1280;

/** A packet, taken apart. */
export interface Ipv6 {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** Hops that it had left. */
  readonly hops: number;
  /** What it carries, a number as in IPv4; or an extension header, which is not looked into here. */
  readonly next: number;
  readonly payload: Uint8Array;
}

/** Takes a packet apart; undefined if it is none or cut short (RFC 8200, 3). */
export function readIpv6(packet: Uint8Array): Ipv6 | undefined {
  if (packet.length < IPV6_HEADER || packet[0]! >> 4 !== 6) return undefined;
  const length = read16(packet, 4);
  if (IPV6_HEADER + length > packet.length) return undefined;
  return {
    source: packet.subarray(8, 24),
    destination: packet.subarray(24, 40),
    hops: packet[7]!,
    next: packet[6]!,
    payload: packet.subarray(IPV6_HEADER, IPV6_HEADER + length),
  };
}

/** Makes a packet. */
export function ipv6Packet(
  { source, destination, hops, next, payload }: Ipv6,
): Uint8Array<ArrayBuffer> {
  const header = [0x60, 0, 0, 0, ...be16(payload.length), next, hops];
  return concat(header, source, destination, payload);
}

/** The checksum of what a packet carries, its addresses included (RFC 8200, 8.1). */
export function ipv6Checksum(
  { source, destination, next, payload }: Omit<Ipv6, "hops">,
): number {
  const pseudo = concat(source, destination, be32(payload.length), [0, 0, 0, next]);
  return internetChecksum(concat(pseudo, payload));
}

/** An address as people write it (RFC 5952). */
export function formatIpv6(address: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => read16(address, 2 * i).toString(16));
  const text = words.join(":");
  // The longest run of at least two zeros, the first of several, becomes "::".
  const [longest] = [...text.matchAll(/\b0(:0)+\b/g)].map(([run]) => run)
    .sort((a, b) => b.length - a.length);
  if (!longest) return text;
  const at = text.search(new RegExp(`\\b${longest}\\b`));
  return `${text.slice(0, at).replace(/:$/, "")}::${
    text.slice(at + longest.length).replace(/^:/, "")
  }`;
}

/** The address in a text; undefined if there is none. Zones and dotted quads are not taken. */
export function parseIpv6(text: string): Uint8Array<ArrayBuffer> | undefined {
  const halves = text.split("::");
  const words = halves.map((half) => half === "" ? [] : half.split(":"));
  const all = words.flat();
  const [left = [], right] = words;
  const missing = 8 - all.length;
  if (halves.length > 2 || (right ? missing < 1 : missing !== 0)) return undefined;
  if (!all.every((word) => /^[0-9a-f]{1,4}$/i.test(word))) return undefined;
  const zeros = Array.from({ length: right ? missing : 0 }, () => "0");
  const numbers = [...left, ...zeros, ...right ?? []].map((word) => parseInt(word, 16));
  return Uint8Array.from(numbers.flatMap(be16));
}
