import { internetChecksum } from "../../classes/network/mod.ts";
import { be16, concat, read16 } from "./bytes.ts";
import { type Ipv4, Protocol } from "./ipv4.ts";

/** A datagram, taken apart. */
export interface Udp {
  readonly from: number;
  readonly to: number;
  readonly payload: Uint8Array;
}

/**
 * Takes the payload of a packet apart; undefined if it is no datagram. The checksum is not looked at: on the way from a
 * machine to its own guest it is not filled in.
 */
export function readUdp({ protocol, fragment, payload }: Ipv4): Udp | undefined {
  if (protocol !== Protocol.udp || fragment || payload.length < 8) return undefined;
  const length = read16(payload, 4);
  if (length < 8 || length > payload.length) return undefined;
  return { from: read16(payload, 0), to: read16(payload, 2), payload: payload.subarray(8, length) };
}

/** Makes a datagram from `source` to `destination` (RFC 768). */
export function udpDatagram(
  source: Uint8Array,
  destination: Uint8Array,
  { from, to, payload }: Udp,
): Uint8Array<ArrayBuffer> {
  const length = be16(8 + payload.length);
  const pseudo = concat(source, destination, [0, Protocol.udp], length);
  const datagram = concat(be16(from), be16(to), length, [0, 0], payload);
  // 0 would mean that there is none.
  datagram.set(be16(internetChecksum(concat(pseudo, datagram)) || 0xffff), 6);
  return datagram;
}
