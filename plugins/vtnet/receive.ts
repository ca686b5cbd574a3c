import type { DriverLane, Virtqueue } from "@virtio/deno/plugin";
import * as bus from "@virtio/deno/plugin";
import * as protocol from "@virtio/deno/classes/network";
import { Counters } from "./counters.ts";
import * as plan from "./plan.ts";
import * as wire from "./wire.ts";

const { SHOWN_AT_ONCE } = plan;
const { Status } = bus;
const { NetChecksum, NetReceiveWord } = protocol;
const { ETHER_HEADER, GSO_NONE, HDR_F_DATA_VALID, HDR_F_NEEDS_CSUM } = wire;
/** Places in a frame's header, in halves. */
const HDR_LEN = wire.HDR_HDR_LEN / 2, GSO_SIZE = wire.HDR_GSO_SIZE / 2;
const CSUM_START = wire.HDR_CSUM_START / 2, CSUM_OFFSET = wire.HDR_CSUM_OFFSET / 2;
const NUM_BUFFERS = wire.HDR_NUM_BUFFERS / 2;

/** What is counted of a receive queue. */
const NAMES = [
  "ipackets",
  "ibytes",
  "ierrors",
  "csum",
  "csum_failed",
  "host_lro",
  "rx_mergeable_failed",
  "rx_csum_bad_offset",
  "rx_frame_too_large",
] as const;
const IPACKETS = 0, IBYTES = 1, IERRORS = 2, CSUM = 3, CSUM_FAILED = 4, HOST_LRO = 5;
const MERGEABLE_FAILED = 6, CSUM_BAD_OFFSET = 7, FRAME_TOO_LARGE = 8;

/** What a receive queue stands on. */
export interface ReceiveOptions {
  /** Number of its pair. */
  readonly pair: number;
  /** The queue. */
  readonly queue: Virtqueue;
  /** The lane of all receive queues. */
  readonly lane: DriverLane;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** Features that were agreed. */
  readonly features: bigint;
  /** Bytes of the header of a frame. */
  readonly headerBytes: number;
  /** Whether the header has a descriptor of its own (5.1.9.8). */
  readonly apart: boolean;
  /** Longest frame that may come. */
  readonly longest: number;
}

/** A receive queue. */
export interface ReceiveQueue {
  /** Gives a slot to the device. */
  provide(slot: number): boolean;
  /** Shows the device what was given to it before it is live (3.1.1). */
  publish(): void;
  /** Takes the frames that came: to the client, or if they are none, back to the device. */
  collect(): void;
  /** What was counted. */
  readonly counters: Counters<string>;
}

/** Makes a receive queue. */
export function receiveQueue(options: ReceiveOptions): ReceiveQueue {
  const { pair, queue, lane, arena, features, headerBytes, apart, longest } = options;
  const { slotBytes } = lane;
  const halves = new Uint16Array(arena);
  const mergeable = (features & wire.F_MRG_RXBUF) !== 0n;
  const checksums = (features & wire.F_GUEST_CSUM) !== 0n;
  const hashes = (features & wire.F_HASH_REPORT) !== 0n;
  const segments = segmentsOf(features);
  const counters = new Counters(NAMES);
  const { counts } = counters;
  const mostParts = mergeable ? lane.slots : 1;

  // The frame that is being taken: its slots and their bytes; its header, which was read once.
  const slots = new Uint16Array(mostParts);
  const lengths = new Uint32Array(mostParts);
  let parts = 0, missing = 0;
  let flags = 0, gsoType = 0, headers = 0, gsoSize = 0, start = 0, offset = 0;
  let hash = 0, hashType = 0;

  /** Slots since the device was shown some. */
  let unseen = 0;

  function provide(slot: number): boolean {
    const at = lane.offset(slot);
    queue.begin(slot);
    if (apart) {
      queue.writable(at, headerBytes);
      queue.writable(at + headerBytes, slotBytes - headerBytes);
    } else queue.writable(at, slotBytes);
    if (!queue.commit()) return false;
    if (++unseen === SHOWN_AT_ONCE) {
      unseen = 0;
      queue.publish();
    }
    return true;
  }

  function take(slot: number, written: number): void {
    if (missing === 0 && !begin(slot, written)) return;
    slots[parts] = slot;
    lengths[parts++] = written;
    if (--missing === 0) finish();
  }

  /** Reads the header of a frame. The device can change it at any time, so it is not read again. */
  function begin(slot: number, written: number): boolean {
    const at = lane.offset(slot) / 2;
    const first = halves[at]!;
    flags = checksums ? first & 0xff : 0;
    gsoType = first >>> 8;
    headers = halves[at + HDR_LEN]!;
    gsoSize = halves[at + GSO_SIZE]!;
    start = halves[at + CSUM_START]!;
    offset = halves[at + CSUM_OFFSET]!;
    const buffers = mergeable ? halves[at + NUM_BUFFERS]! : 1;
    if (hashes) {
      const value = at + wire.HDR_HASH_VALUE / 2;
      hash = halves[value]! | halves[value + 1]! << 16;
      hashType = halves[at + wire.HDR_HASH_REPORT / 2]! & 0xff;
    }
    parts = 0;
    if (written < headerBytes) return refuse(slot, IERRORS);
    if (buffers < 1 || buffers > mostParts) return refuse(slot, MERGEABLE_FAILED);
    missing = buffers;
    return true;
  }

  function refuse(slot: number, why: number): false {
    counts[IERRORS]!++;
    if (why !== IERRORS) counts[why]!++;
    provide(slot);
    return false;
  }

  /** Drops what there is of the frame. */
  function drop(why: number): void {
    missing = 0;
    counts[IERRORS]!++;
    if (why !== IERRORS) counts[why]!++;
    for (let i = 0; i < parts; i++) provide(slots[i]!);
  }

  function finish(): void {
    let length = -headerBytes;
    for (let i = 0; i < parts; i++) length += lengths[i]!;
    if (length < ETHER_HEADER) return drop(IERRORS);
    if (length > longest) return drop(FRAME_TOO_LARGE);
    const segmented = gsoType !== GSO_NONE;
    if (segmented && !(mayBe(gsoType) && gsoSize > 0 && headers <= length)) return drop(IERRORS);
    let checksum: number = NetChecksum.unknown;
    if (flags & HDR_F_NEEDS_CSUM) {
      if (start + offset + 2 > length) {
        counts[CSUM_FAILED]!++;
        return drop(CSUM_BAD_OFFSET);
      }
      checksum = NetChecksum.partial;
    } else if (flags & HDR_F_DATA_VALID) checksum = NetChecksum.valid;

    counts[IPACKETS]!++;
    counts[IBYTES]! += length;
    if (checksum !== NetChecksum.unknown) counts[CSUM]!++;
    if (segmented) counts[HOST_LRO]!++;
    const head = slots[0]!;
    lane.setWord(head, NetReceiveWord.place, parts | headerBytes << 16);
    lane.setWord(head, NetReceiveWord.checksum, start | offset << 16);
    lane.setWord(head, NetReceiveWord.segmentation, segmented ? gsoType | gsoSize << 16 : 0);
    lane.setWord(head, NetReceiveWord.hash, hash);
    lane.setWord(head, NetReceiveWord.kind, checksum | hashType << 8 | pair << 16);
    lane.complete(head, Status.ok, lengths[0]! - headerBytes);
    for (let i = 1; i < parts; i++) {
      lane.setWord(slots[i]!, NetReceiveWord.place, 0);
      lane.complete(slots[i]!, Status.ok, lengths[i]!);
    }
  }

  /** Whether device and driver agreed on frames that were put together in this way. */
  function mayBe(type: number): boolean {
    const plain = type & ~wire.GSO_ECN;
    return plain < 32 && (segments >> plain & 1) === 1;
  }

  return {
    provide,
    counters,
    publish: () => queue.publish(),
    collect() {
      queue.drain(take);
      // A device shows all buffers of a frame at once (5.1.9.4.1).
      if (missing > 0) drop(MERGEABLE_FAILED);
    },
  };
}

/** The kinds of frames that may have been put together, a bit each by their `gso_type`, without congestion bits. */
function segmentsOf(features: bigint): number {
  const may = (feature: bigint, type: number) => features & feature ? 1 << type : 0;
  return may(wire.F_GUEST_TSO4, wire.GSO_TCPV4) | may(wire.F_GUEST_TSO6, wire.GSO_TCPV6) |
    may(wire.F_GUEST_UFO, wire.GSO_UDP) |
    may(wire.F_GUEST_USO4 | wire.F_GUEST_USO6, wire.GSO_UDP_L4);
}
