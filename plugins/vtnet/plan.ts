import type { Config, Offer, Plan, Properties } from "@virtio/deno/plugin";
import { TRANSMIT_HEADROOM } from "@virtio/deno/classes/network";
import * as wire from "./wire.ts";

/** What is sent and received, apart from offloads, and all else that this driver knows. */
const WANTED = wire.F_MTU | wire.F_MAC | wire.F_MRG_RXBUF | wire.F_STATUS | wire.F_CTRL_VQ |
  wire.F_CTRL_RX | wire.F_CTRL_VLAN | wire.F_CTRL_RX_EXTRA | wire.F_GUEST_ANNOUNCE |
  wire.F_CTRL_MAC_ADDR | wire.F_CTRL_GUEST_OFFLOADS | wire.F_DEVICE_STATS | wire.F_NOTF_COAL |
  wire.F_VQ_NOTF_COAL | wire.F_GUEST_HDRLEN | wire.F_SPEED_DUPLEX;
const SEVERAL_PAIRS = wire.F_MQ | wire.F_RSS;
const HASHES = wire.F_RSS | wire.F_HASH_REPORT | wire.F_HASH_TUNNEL;
const CHECKSUMS = wire.F_CSUM | wire.F_GUEST_CSUM;

/** Features that stand for frames to be put together, in the order of `RECEIVE_OFFLOADS` behind the checksum. */
export const GUEST_SEGMENTS: readonly bigint[] = [
  wire.F_GUEST_TSO4,
  wire.F_GUEST_TSO6,
  wire.F_GUEST_ECN,
  wire.F_GUEST_UFO,
  wire.F_GUEST_USO4,
  wire.F_GUEST_USO6,
];
/** Features that stand for frames to be cut, in the order of `TRANSMIT_OFFLOADS` behind the checksum. */
export const HOST_SEGMENTS: readonly bigint[] = [
  wire.F_HOST_TSO4,
  wire.F_HOST_TSO6,
  wire.F_HOST_ECN,
  wire.F_HOST_UFO,
  wire.F_HOST_USO,
];

const NEEDS_CONTROL = wire.F_CTRL_VQ | wire.F_CTRL_RX | wire.F_CTRL_VLAN | wire.F_CTRL_RX_EXTRA |
  wire.F_GUEST_ANNOUNCE | wire.F_CTRL_MAC_ADDR | wire.F_CTRL_GUEST_OFFLOADS |
  wire.F_DEVICE_STATS | wire.F_NOTF_COAL | wire.F_VQ_NOTF_COAL | SEVERAL_PAIRS | HASHES;

const QUEUE_SIZE = 256;
/**
 * A turn fills a queue. What it puts there is shown to the device when it is so many frames: it works on them meanwhile, so that
 * there is room for others at the end of the turn, and the processor need not be handed over.
 */
export const SHOWN_AT_ONCE = QUEUE_SIZE / 2;
/** One thread gets no faster with more pairs than these; the user may want them all the same. */
const USUAL_PAIRS = 4;
/** Bytes of a slot where frames may take several. */
const MERGED_BYTES = 2048;
/**
 * Slots for each place in a queue: the device has as many as its queue holds, and driver and client have some in their hands
 * meanwhile. With fewer, a turn of theirs moves a part of a queue at most (docs/architecture.md, "Speed").
 */
const SLOTS_A_PLACE = 4;
/** For all slots, of what `limits` in plugin.json leave, and for those that wait for frames, unless they would be too few. */
const SLOT_BYTES = 28 * 2 ** 20;
const RECEIVE_BYTES = 16 * 2 ** 20;
const FEWEST_SLOTS = 8, FEWEST_TRANSMIT_SLOTS = 128;
/** Slots for frames to be cut: 4 MiB on their way are what 10 Gbit/s take in 3 ms. */
const LONG_SLOTS = 64;
/** Control operations come one at a time. */
export const CONTROL_SLOTS = 2;
/** What a control operation brings along, and what it brings back. */
const CONTROL_BYTES = 16384;
/** A device that does not answer a control command within this many milliseconds hangs. */
const CONTROL_DEADLINE = 5000;
/** What stands for a command on its way to the device, and for its result. */
export const COMMAND_BYTES = 4096, RESULT_BYTES = 8192;
/** Most entries of an indirection table that fit a command. */
const RSS_ENTRIES = 512;
/** The key that a device must be able to take at least (5.1.4.1). */
const LEAST_KEY = 40;

/** What follows from the features that are used and the configuration. */
export interface Shape {
  /** Pairs of queues that there could be. */
  readonly mostPairs: number;
  /** Index of the control queue, which follows them all (5.1.2). */
  readonly control: number;
  /** Bytes of the header of a frame. */
  readonly headerBytes: number;
  /** Bytes that a frame may carry. */
  readonly mtu: number;
  /** Longest frame that may come. */
  readonly longest: number;
  /** Longest frame that may be sent as it is, and longest that may be sent to be cut. */
  readonly whole: number;
  readonly cut: number;
}

/** Finds that out. */
export function shapeOf(features: bigint, config: Config, legacy: boolean): Shape {
  const several = (features & SEVERAL_PAIRS) !== 0n;
  const mostPairs = several ? config.u16(wire.CONFIG_MAX_VIRTQUEUE_PAIRS) : 1;
  const mtu = features & wire.F_MTU ? config.u16(wire.CONFIG_MTU) : wire.MTU_USUAL;
  const whole = mtu + wire.ETHER_HEADER + wire.VLAN_TAG;
  const long = Math.max(whole, wire.LONGEST_GSO + wire.VLAN_TAG);
  // A driver with room takes what comes, if the device did not say how long that may be.
  const open = (features & (wire.F_MRG_RXBUF | wire.F_MTU)) === wire.F_MRG_RXBUF;
  return {
    mostPairs,
    control: 2 * mostPairs,
    headerBytes: features & wire.F_HASH_REPORT
      ? wire.HDR_BYTES_HASH
      : legacy && !(features & wire.F_MRG_RXBUF)
      ? wire.HDR_BYTES_LEGACY
      : wire.HDR_BYTES,
    mtu,
    longest: open || hasAny(features, GUEST_SEGMENTS) ? long : whole,
    whole,
    cut: hasAny(features, [...HOST_SEGMENTS, wire.F_GSO]) ? long : whole,
  };
}

/** The features to be used: what is wanted, without what the configuration shows to be unusable. */
function featuresOf(offer: Offer): bigint {
  const { config, queues } = offer;
  let features = wantedOf(offer);
  if (config.u16(wire.CONFIG_MTU) < wire.MTU_MIN) features &= ~wire.F_MTU;
  if (config.u8(wire.CONFIG_RSS_MAX_KEY_SIZE) < LEAST_KEY) features &= ~HASHES;
  if (config.u16(wire.CONFIG_RSS_MAX_INDIRECTION_TABLE_LENGTH) < 1) features &= ~wire.F_RSS;
  const most = config.u16(wire.CONFIG_MAX_VIRTQUEUE_PAIRS);
  if (most < wire.PAIRS_MIN || most > wire.PAIRS_MAX || !has(queues, 2 * most)) {
    features &= ~SEVERAL_PAIRS;
  }
  const control = features & SEVERAL_PAIRS ? 2 * most : 2;
  return has(queues, control) ? features : features & ~NEEDS_CONTROL;
}

/** What is wanted of what is offered, as far as the user has it. */
function wantedOf({ features: offered, legacy, tunables }: Offer): bigint {
  let wanted = WANTED;
  if (tunables.csum_disable !== true) {
    wanted |= CHECKSUMS;
    if (tunables.tso_disable !== true) wanted |= all(HOST_SEGMENTS) | (legacy ? wire.F_GSO : 0n);
    if (tunables.lro_disable !== true) wanted |= all(GUEST_SEGMENTS);
  }
  wanted |= wire.F_HASH_REPORT | wire.F_HASH_TUNNEL;
  if (tunables.mq_disable !== true) wanted |= SEVERAL_PAIRS;
  if (tunables.mrg_disable === true) wanted &= ~wire.F_MRG_RXBUF;
  return offered & wanted;
}

/** The plan for a device. */
export function makePlan(offer: Offer): Plan<string, string, string> {
  const { config, queues, legacy } = offer;
  const features = featuresOf(offer);
  const { mostPairs, control, headerBytes, mtu, longest, whole, cut } = shapeOf(
    features,
    config,
    legacy,
  );
  const pairs = Math.min(mostPairs, Number(offer.tunables.mq_max_pairs) || USUAL_PAIRS);
  const mergeable = (features & wire.F_MRG_RXBUF) !== 0n;
  const slotBytes = mergeable ? MERGED_BYTES : roundUp(headerBytes + longest);
  // A header of its own takes a descriptor of its own.
  const parts = legacy ? 2 : 1;
  const room = Math.min(
    QUEUE_SIZE,
    ...Array.from({ length: pairs }, (_, pair) => queues[2 * pair] ?? 0),
  );
  const each = Math.floor(RECEIVE_BYTES / slotBytes / pairs);
  const places = Math.max(1, Math.floor(room / parts));
  // Slots of several queues wait in one line: where one's were more than it holds, those behind would wait for it.
  const most = pairs === 1 ? SLOTS_A_PLACE * places : places;
  const slots = pairs * Math.min(most, Math.max(each, FEWEST_SLOTS));
  const transmitBytes = roundUp(TRANSMIT_HEADROOM + whole);
  const long = { slots: LONG_SLOTS, slotBytes: roundUp(TRANSMIT_HEADROOM + cut) };
  const longBytes = cut > whole ? long.slots * long.slotBytes : 0;
  const transmitSlots = Math.max(
    FEWEST_TRANSMIT_SLOTS,
    Math.min(
      SLOTS_A_PLACE * QUEUE_SIZE,
      Math.floor((SLOT_BYTES - slots * slotBytes - longBytes) / transmitBytes),
    ),
  );
  const indices = Array.from({ length: pairs }, (_, pair) => pair);
  return {
    features,
    queues: {
      ...Object.fromEntries(indices.flatMap((pair) => [
        [`receive${pair}`, { index: 2 * pair, size: QUEUE_SIZE, buffers: parts }],
        [`transmit${pair}`, { index: 2 * pair + 1, size: QUEUE_SIZE, buffers: parts }],
      ])),
      // What, up to two parts of data, a result before or behind the acknowledgement.
      ...(features & wire.F_CTRL_VQ && { control: { index: control, size: 64, buffers: 6 } }),
    },
    lanes: {
      receive: { slots, slotBytes, deadline: 0 },
      transmit: { slots: transmitSlots, slotBytes: transmitBytes },
      ...(cut > whole && { long }),
      control: {
        slots: CONTROL_SLOTS,
        slotBytes: CONTROL_BYTES,
        deadline: CONTROL_DEADLINE,
      },
      events: { slots: 1, slotBytes: 64, deadline: 0 },
    },
    buffers: {
      commands: CONTROL_SLOTS * COMMAND_BYTES,
      results: CONTROL_SLOTS * RESULT_BYTES,
    },
    properties: properties({ features, pairs, mtu }, config),
  };
}

function properties(
  { features, pairs, mtu }: {
    readonly features: bigint;
    readonly pairs: number;
    readonly mtu: number;
  },
  config: Config,
): Properties {
  const mac = Array.from({ length: 6 }, (_, i) => config.u8(wire.CONFIG_MAC + i));
  // An address of many, or none at all, is none for a card (D-84).
  const own = (features & wire.F_MAC) !== 0n && (mac[0]! & 1) === 0 && mac.some((byte) => byte);
  const segments = features & wire.F_GSO ? all(HOST_SEGMENTS.slice(0, 3)) : 0n;
  return {
    mac: own ? mac.map((byte) => byte.toString(16).padStart(2, "0")).join(":") : "",
    mtu,
    link: linkOf(features, config),
    ...speedOf(features, config),
    pairs,
    transmitOffloads: bits(features | segments, [wire.F_CSUM, ...HOST_SEGMENTS]),
    receiveOffloads: bits(features, [wire.F_GUEST_CSUM, ...GUEST_SEGMENTS]),
    hashTypes: features & HASHES ? config.u32(wire.CONFIG_SUPPORTED_HASH_TYPES) : 0,
    hashKeyBytes: features & HASHES ? config.u8(wire.CONFIG_RSS_MAX_KEY_SIZE) : 0,
    rssEntries: features & wire.F_RSS
      ? Math.min(RSS_ENTRIES, config.u16(wire.CONFIG_RSS_MAX_INDIRECTION_TABLE_LENGTH))
      : 0,
    hashReports: (features & wire.F_HASH_REPORT) !== 0n,
  };
}

/** Whether the link is up; a device that does not say has one (5.1.4.2). */
export function linkOf(features: bigint, config: Config): boolean {
  return !(features & wire.F_STATUS) || (config.u16(wire.CONFIG_STATUS) & wire.S_LINK_UP) !== 0;
}

/** Speed and duplex; all ones if the device does not say. */
export function speedOf(
  features: bigint,
  config: Config,
): { readonly speed: number; readonly duplex: number } {
  return features & wire.F_SPEED_DUPLEX
    ? { speed: config.u32(wire.CONFIG_SPEED), duplex: config.u8(wire.CONFIG_DUPLEX) }
    : { speed: 0xffffffff, duplex: 0xff };
}

function has(queues: readonly number[], index: number): boolean {
  return (queues[index] ?? 0) > 0;
}

function all(features: readonly bigint[]): bigint {
  return features.reduce((set, feature) => set | feature, 0n);
}

function hasAny(features: bigint, of: readonly bigint[]): boolean {
  return (features & all(of)) !== 0n;
}

function bits(features: bigint, of: readonly bigint[]): number {
  return of.reduce((set, feature, i) => features & feature ? set | 1 << i : set, 0);
}

/** To a multiple of a cache line. */
function roundUp(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}
