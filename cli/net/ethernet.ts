import { FRAME_HEADER } from "../../classes/network/mod.ts";
import { be16, concat, read16 } from "./bytes.ts";

/** What an Ethernet frame carries. */
export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  /** For experiments on the local network (IEEE 802, local experimental 1): no station answers. */
  experimental: 0x88b5,
} as const;

/** All stations on the network. */
export const BROADCAST: Uint8Array = new Uint8Array(6).fill(0xff);

/** A frame, taken apart. */
export interface Ethernet {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  /** The network it is tagged for, if it is tagged (IEEE 802.1Q). */
  readonly vlan?: number;
  /** An {@linkcode EtherType}; a length if it is smaller than 1536. */
  readonly type: number;
  readonly payload: Uint8Array;
}

/** Takes a frame apart; undefined if it is too short to be one. */
export function readEthernet(frame: Uint8Array): Ethernet | undefined {
  if (frame.length < FRAME_HEADER) return undefined;
  const addresses = { destination: frame.subarray(0, 6), source: frame.subarray(6, 12) };
  const type = read16(frame, 12);
  if (type !== EtherType.vlan) return { ...addresses, type, payload: frame.subarray(FRAME_HEADER) };
  if (frame.length < 18) return undefined;
  return {
    ...addresses,
    vlan: read16(frame, 14) & 0xfff,
    type: read16(frame, 16),
    payload: frame.subarray(18),
  };
}

/** Makes a frame. */
export function ethernetFrame(
  destination: Uint8Array,
  source: Uint8Array,
  type: number,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return concat(destination, source, be16(type), payload);
}
