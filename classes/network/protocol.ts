/**
 * What a network driver and its clients agree on: its lanes, the meaning of their records, and the properties.
 *
 * - `receive`: requests that wait for a frame. One that ends holds a frame, or a part of one that is longer than a slot:
 *   its parts end one after the other.
 * - `transmit`: a frame each, behind {@linkcode TRANSMIT_HEADROOM} bytes that are the driver's.
 * - `control`: a {@linkcode NetOperation} each.
 * - `events`: requests that wait for the link to change, or for the device to ask for an announcement.
 * - `long`, which a driver may plan: no requests. Frames that are longer than a slot of `transmit` are in its slots, and the
 *   record of their request says in which. So there can be many slots for the usual frame, and few for one to be cut.
 *
 * @module
 */

import { flag, type PropertyTypes, text, u32, u8, whole, Word } from "../../core/class/mod.ts";

/** Shortest frame: two addresses and a type. Neither padding nor checksum (FCS) are part of a frame here. */
export const FRAME_HEADER = 14;
/** Bytes of an Ethernet address. */
export const MAC_BYTES = 6;
/** Longest frame that is split into segments on its way (virtio 1.4, 5.1.9.3.1), with a VLAN tag. */
export const LONGEST_FRAME = 65593;

/** The words of a record in the lane `receive`, when its request has ended. */
export const NetReceiveWord = {
  ...Word,
  /** Slots that the frame takes, in the first of them; 0 in the others. Above 16 bits: where its data begin. */
  place: Word.first,
  /** With {@linkcode NetChecksum.partial}: first byte to be summed up. Above 16 bits: where the sum goes, from there. */
  checksum: Word.first + 1,
  /** A {@linkcode NetSegmentation}. Above 16 bits: bytes of data in a segment. */
  segmentation: Word.first + 2,
  /** Hash that the device made of the frame. */
  hash: Word.first + 3,
  /** A {@linkcode NetChecksum}. Above 8 bits: what the hash was made of, 0 for none. Above 16 bits: the queue pair. */
  kind: Word.first + 4,
} as const;

/** What is known of the checksum of a frame that came. */
export const NetChecksum = {
  /** Nothing. */
  unknown: 0,
  /** It is right: the device has looked, or the frame has not been on a wire. */
  valid: 1,
  /** There is only the sum of the pseudo header: the frame has not been on a wire, and needs one before it is. */
  partial: 2,
} as const;

/** How a frame is to be cut into segments, or was put together: `gso_type` (virtio 1.4, 5.1.9). */
export const NetSegmentation = {
  /** Not at all. */
  none: 0,
  /** TCP over IPv4. */
  tcp4: 1,
  /** UDP, in fragments of one datagram. */
  udpFragments: 3,
  /** TCP over IPv6. */
  tcp6: 4,
  /** UDP, in datagrams. */
  udp: 5,
  /** Besides: a TCP segment with congestion bits. */
  ecn: 0x80,
} as const;

/**
 * Bytes in front of a frame in a slot of `transmit` or `long`. The device's header fits there, so that header and frame are one
 * stretch, and one descriptor.
 */
export const TRANSMIT_HEADROOM = 32;

/** The words of a record in the lane `transmit`. Its operation is 1 if the device is to fill in a checksum. */
export const NetTransmitWord = {
  ...Word,
  /** First byte to be summed up. Above 16 bits: where the sum goes, from there. */
  checksum: Word.first,
  /** A {@linkcode NetSegmentation}. Above 16 bits: bytes of data in a segment. */
  segmentation: Word.first + 1,
  /** Bytes of all headers together. */
  headers: Word.first + 2,
  /** 1 more than the slot of the lane `long` that the frame is in; 0 if it is in its own. */
  long: Word.first + 3,
} as const;

/** The words of a record in the lane `control`. */
export const NetControlWord = {
  ...Word,
  /** Up to four numbers, as {@linkcode NetOperation} says. */
  arguments: Word.first,
} as const;

/**
 * What a request in the lane `control` asks for. Numbers are in the record, from
 * {@linkcode NetControlWord.arguments} on; what has no place there is in the slot's data.
 */
export const NetOperation = {
  /** Receive everything: 1 or 0. */
  promiscuous: 0,
  /** Receive all multicast: 1 or 0. */
  allMulticast: 1,
  /** Receive all unicast: 1 or 0. */
  allUnicast: 2,
  /** Receive no multicast: 1 or 0. */
  noMulticast: 3,
  /** Receive no unicast: 1 or 0. */
  noUnicast: 4,
  /** Receive no broadcast: 1 or 0. */
  noBroadcast: 5,
  /** Receive these addresses besides one's own; as many as there are data. */
  macTable: 6,
  /** One's own address; the data. */
  macAddress: 7,
  /** Receive this VLAN. */
  addVlan: 8,
  /** Receive this VLAN no more. */
  removeVlan: 9,
  /** An announcement was made. */
  announced: 10,
  /** Use so many pairs of queues, and let the device choose among them. */
  queuePairs: 11,
  // In one line each: Deno declares a longer comment of a table's member so that TypeScript cannot read it.
  /** Choose the pair by a hash: types, the pair without one, pairs to transmit on, bytes of the key. Data: key, pairs (16 bits, even). */
  rss: 12,
  /** Report a hash: its types, bytes of the key. Data: the key. */
  hash: 13,
  /** The {@linkcode RECEIVE_OFFLOADS} to be used, a bit each. */
  offloads: 14,
  /** Interrupt for frames sent: after so many frames, after so many microseconds. */
  transmitCoalescing: 15,
  /** Interrupt for frames that came, likewise. */
  receiveCoalescing: 16,
  /** For one queue: frames, microseconds, its pair, 1 for its transmitting one. */
  queueCoalescing: 17,
  /** What was set for one queue: its pair, 1 for its transmitting one. Data back: frames, microseconds, 32 bits each. */
  getQueueCoalescing: 18,
  /** Which tunnels hashes look into: a bit each. */
  hashTunnels: 19,
  /** Data back: for each number its index in {@linkcode NET_STATISTICS}, the pair, low and high 32 bits. */
  statistics: 20,
} as const;

/** The words of a record in the lane `events`, when its request has ended. */
export const NetEventWord = {
  ...Word,
  /** 1 while the link is up. */
  link: Word.first,
  /** 1 if the device asks for an announcement. */
  announce: Word.first + 1,
  /** Megabits per second, all ones if that is not known. */
  speed: Word.first + 2,
  /** 0 half duplex, 1 full, anything else unknown. */
  duplex: Word.first + 3,
} as const;

/** What a device may leave undone about frames that it delivers, and what it may put together, in the order of bits. */
export const RECEIVE_OFFLOADS = [
  "checksum",
  "tcp4",
  "tcp6",
  "ecn",
  "udpFragments",
  "udp4",
  "udp6",
] as const;

/** What a device may be asked to do about frames that it sends, in the order of bits. */
export const TRANSMIT_OFFLOADS = [
  "checksum",
  "tcp4",
  "tcp6",
  "ecn",
  "udpFragments",
  "udp",
] as const;

/** One of {@linkcode RECEIVE_OFFLOADS}. */
export type ReceiveOffload = typeof RECEIVE_OFFLOADS[number];
/** One of {@linkcode TRANSMIT_OFFLOADS}. */
export type TransmitOffloadName = typeof TRANSMIT_OFFLOADS[number];

/** What a device counts by itself, under the names of the specification (virtio 1.4, 5.1.9.5.11). */
export const NET_STATISTICS = [
  ...["command_num", "ok_num"],
  ...["rx_notifications", "rx_packets", "rx_bytes"],
  ...["rx_interrupts", "rx_drops", "rx_drop_overruns"],
  ...["rx_csum_valid", "rx_needs_csum", "rx_csum_none", "rx_csum_bad"],
  ...["rx_gso_packets", "rx_gso_bytes", "rx_gso_packets_coalesced", "rx_gso_bytes_coalesced"],
  ...["rx_packets_allowance_exceeded", "rx_bytes_allowance_exceeded"],
  ...["tx_notifications", "tx_packets", "tx_bytes"],
  ...["tx_interrupts", "tx_drops", "tx_drop_malformed"],
  ...["tx_csum_none", "tx_needs_csum"],
  ...["tx_gso_packets", "tx_gso_bytes", "tx_gso_segments", "tx_gso_segments_bytes"],
  ...["tx_gso_packets_noseg", "tx_gso_bytes_noseg"],
  ...["tx_packets_allowance_exceeded", "tx_bytes_allowance_exceeded"],
] as const;

/** What a network driver tells about its device. */
export interface NetProperties {
  /** Its address, `"52:54:00:12:34:56"`; empty if it has none of its own. */
  readonly mac: string;
  /** Bytes that a frame may carry behind its header. */
  readonly mtu: number;
  /** Whether its link is up. */
  readonly link: boolean;
  /** Megabits per second, all ones if that is not known. */
  readonly speed: number;
  /** 0 half duplex, 1 full, anything else unknown. */
  readonly duplex: number;
  /** Pairs of queues, of which one is used at first. */
  readonly pairs: number;
  /** {@linkcode TRANSMIT_OFFLOADS} that were agreed, a bit each. */
  readonly transmitOffloads: number;
  /** {@linkcode RECEIVE_OFFLOADS} that were agreed. */
  readonly receiveOffloads: number;
  /** Hashes that the device can make, a bit each; 0 if it makes none. */
  readonly hashTypes: number;
  /** Longest key for them. */
  readonly hashKeyBytes: number;
  /** Most entries in a table of queue pairs; 0 if it has none. */
  readonly rssEntries: number;
  /** Whether hashes come with the frames. */
  readonly hashReports: boolean;
}

/** What each of them may be. */
export const netProperties: PropertyTypes<NetProperties> = {
  mac: text("an address, or an empty text", (mac) => mac === "" || parseMac(mac) !== undefined),
  mtu: whole(68, 0xffff),
  link: flag,
  speed: u32,
  duplex: u8,
  pairs: whole(1, 0x8000),
  transmitOffloads: u32,
  receiveOffloads: u32,
  hashTypes: u32,
  hashKeyBytes: u8,
  rssEntries: whole(0, 0x8000),
  hashReports: flag,
};

/** The six bytes of `"52:54:00:12:34:56"`; undefined if that is no address. */
export function parseMac(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
}

/** An address as people write it. */
export function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Whether a card may have this address: six bytes, of one station, and not all zero. */
export function isStation(mac: Uint8Array): boolean {
  return mac.length === MAC_BYTES && (mac[0]! & 1) === 0 && mac.some((byte) => byte !== 0);
}
