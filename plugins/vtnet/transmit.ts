import type { DriverLane, Virtqueue } from "@virtio/deno/plugin";
import * as bus from "@virtio/deno/plugin";
import * as protocol from "@virtio/deno/classes/network";
import { Counters } from "./counters.ts";
import * as plan from "./plan.ts";
import * as wire from "./wire.ts";

const { SHOWN_AT_ONCE } = plan;
const { Status } = bus;
const { NetSegmentation, NetTransmitWord, TRANSMIT_HEADROOM } = protocol;
const { ETHER_HEADER, HDR_F_NEEDS_CSUM } = wire;
/** Places in a frame's header, in halves. */
const HDR_LEN = wire.HDR_HDR_LEN / 2, GSO_SIZE = wire.HDR_GSO_SIZE / 2;
const CSUM_START = wire.HDR_CSUM_START / 2, CSUM_OFFSET = wire.HDR_CSUM_OFFSET / 2;
const NUM_BUFFERS = wire.HDR_NUM_BUFFERS / 2;

/** What is counted of a transmit queue. */
const NAMES = [
  "opackets",
  "obytes",
  "omcasts",
  "oerrors",
  "csum",
  "tso",
  "tx_tso_without_csum",
  "tx_tso_not_tcp",
  "tx_csum_bad_offset",
] as const;
const OPACKETS = 0, OBYTES = 1, OMCASTS = 2, OERRORS = 3, CSUM = 4, TSO = 5;
const TSO_WITHOUT_CSUM = 6, TSO_NOT_TCP = 7, CSUM_BAD_OFFSET = 8;

/** Where the addresses of an IPv4 header and the ports behind it are in a frame. */
const FLOW = 26, FLOW_BYTES = 12;

/** What the transmit queues stand on. */
export interface TransmitOptions {
  /** The queues, one a pair. */
  readonly queues: readonly Virtqueue[];
  /** Their lane. */
  readonly lane: DriverLane;
  /** The lane that has room for longer frames, if there is one. */
  readonly long: DriverLane | undefined;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** Features that were agreed. */
  readonly features: bigint;
  /** Bytes of the header of a frame. */
  readonly headerBytes: number;
  /** Whether the header has a descriptor of its own (5.1.9.8). */
  readonly apart: boolean;
  /** Bytes that a frame may have that is not cut, and that one may have that is. */
  readonly longest: { readonly whole: number; readonly cut: number };
}

/** The transmit queues. */
export interface TransmitQueues {
  /** Pairs that may be used; more than there are now only after the device agreed. */
  active: number;
  /** Puts a frame on its way. */
  provide(slot: number): boolean;
  /** Takes back those that were sent. */
  collect(): void;
  /** What was counted, a queue each. */
  readonly counters: readonly Counters<string>[];
}

/** Makes the transmit queues. */
export function transmitQueues(options: TransmitOptions): TransmitQueues {
  const { queues, lane, long, arena, features, headerBytes, apart, longest } = options;
  const halves = new Uint16Array(arena);
  const bytes = new Uint8Array(arena);
  const checksums = (features & wire.F_CSUM) !== 0n;
  const segments = segmentsOf(features);
  const ecn = (features & (wire.F_HOST_ECN | wire.F_GSO)) !== 0n;
  const room = lane.slotBytes - TRANSMIT_HEADROOM;
  const longSlots = long ? long.slots : 0;
  const longRoom = long ? long.slotBytes - TRANSMIT_HEADROOM : 0;
  /** Frames since the device was shown some. */
  let unseen = 0;
  const counters = queues.map(() => new Counters(NAMES));

  function provide(slot: number): boolean {
    const inLong = lane.word(slot, NetTransmitWord.long);
    if (inLong > longSlots) return refuse(slot, counters[0]!.counts, OERRORS);
    const own = inLong === 0;
    const frame = (own ? lane.offset(slot) : long!.offset(inLong - 1)) + TRANSMIT_HEADROOM;
    const pair = transmit.active === 1 ? 0 : flowOf(frame) % transmit.active;
    const { counts } = counters[pair]!;
    const length = lane.word(slot, NetTransmitWord.length);
    const wantsChecksum = lane.word(slot, NetTransmitWord.operation) === 1;
    const checksum = lane.word(slot, NetTransmitWord.checksum);
    const segmentation = lane.word(slot, NetTransmitWord.segmentation);
    const headersEnd = lane.word(slot, NetTransmitWord.headers);
    const type = segmentation & 0xff;
    const cut = type !== NetSegmentation.none;
    const most = Math.min(own ? room : longRoom, cut ? longest.cut : longest.whole);
    if (length < ETHER_HEADER || length > most) {
      return refuse(slot, counts, OERRORS);
    }
    if (wantsChecksum && !(checksums && (checksum & 0xffff) + (checksum >>> 16) + 2 <= length)) {
      return refuse(slot, counts, CSUM_BAD_OFFSET);
    }
    if (cut) {
      if (!wantsChecksum) return refuse(slot, counts, TSO_WITHOUT_CSUM);
      if (!mayBe(type)) return refuse(slot, counts, TSO_NOT_TCP);
      if (segmentation >>> 16 === 0 || headersEnd > length) return refuse(slot, counts, OERRORS);
    }

    // All of the header is written each time: nothing of another frame is left in it.
    const header = frame - headerBytes;
    const at = header >>> 1;
    halves[at] = (wantsChecksum ? HDR_F_NEEDS_CSUM : 0) | type << 8;
    halves[at + HDR_LEN] = cut ? headersEnd : 0;
    halves[at + GSO_SIZE] = segmentation >>> 16;
    halves[at + CSUM_START] = wantsChecksum ? checksum & 0xffff : 0;
    halves[at + CSUM_OFFSET] = wantsChecksum ? checksum >>> 16 : 0;
    for (let i = NUM_BUFFERS; i < headerBytes / 2; i++) halves[at + i] = 0;

    const queue = queues[pair]!;
    queue.begin(slot);
    if (apart) {
      queue.readable(header, headerBytes);
      queue.readable(frame, length);
    } else queue.readable(header, headerBytes + length);
    if (!queue.commit()) return false;
    if (++unseen === SHOWN_AT_ONCE) {
      unseen = 0;
      queue.publish();
    }
    counts[OPACKETS]!++;
    counts[OBYTES]! += length;
    if (bytes[frame]! & 1) counts[OMCASTS]!++;
    if (wantsChecksum) counts[CSUM]!++;
    if (cut) counts[TSO]!++;
    return true;
  }

  /** A number that is the same for all frames of a flow, by IPv4 addresses and ports: its frames keep their order. */
  function flowOf(frame: number): number {
    const first = (frame + FLOW) >>> 1;
    let flow = 0;
    for (let i = 0; i < FLOW_BYTES / 2; i++) flow ^= halves[first + i]!;
    return flow ^ flow >>> 8;
  }

  /** Whether device and driver agreed on frames to be cut in this way. Congestion bits come with TCP only. */
  function mayBe(type: number): boolean {
    const plain = type & ~NetSegmentation.ecn;
    if (plain >= 32 || (segments >> plain & 1) === 0) return false;
    if (plain === type) return true;
    return ecn && (plain === wire.GSO_TCPV4 || plain === wire.GSO_TCPV6);
  }

  function refuse(slot: number, counts: Float64Array, why: number): true {
    counts[OERRORS]!++;
    if (why !== OERRORS) counts[why]!++;
    lane.complete(slot, Status.unsupported, 0);
    return true;
  }

  function sent(slot: number): void {
    lane.complete(slot, Status.ok, 0);
  }

  const transmit: TransmitQueues = {
    active: 1,
    provide,
    counters,
    collect() {
      for (let i = 0; i < queues.length; i++) queues[i]!.drain(sent);
    },
  };
  return transmit;
}

/** The kinds of frames that the device may cut, a bit each by their `gso_type`, without congestion bits. */
function segmentsOf(features: bigint): number {
  const may = (feature: bigint, type: number) =>
    features & (feature | wire.F_GSO) && features & wire.F_CSUM ? 1 << type : 0;
  return may(wire.F_HOST_TSO4, wire.GSO_TCPV4) | may(wire.F_HOST_TSO6, wire.GSO_TCPV6) |
    (features & wire.F_HOST_UFO ? 1 << wire.GSO_UDP : 0) |
    (features & wire.F_HOST_USO ? 1 << wire.GSO_UDP_L4 : 0);
}
