/**
 * The network device as a model (virtio 1.4, 5.1).
 *
 * @module
 */

import {
  type DeviceHandle,
  type DeviceModel,
  DriverFault,
  type Request,
  VERSION_1,
} from "@virtio/deno/simulation";
import { Filter } from "./filter.ts";
import { finish, type Work } from "./segments.ts";
import { Statistics } from "./model_statistics.ts";
import { Station, type StationOptions } from "./station.ts";
import { hashFrame } from "./toeplitz.ts";
import * as wire from "./wire.ts";

export type { Filter, StationOptions, Statistics, Work };

/** How a network device can be worse than it should be (D-81 to D-84). */
export interface NetLies {
  /** Changes the header of a frame before the driver sees it. */
  readonly header?: (header: Uint8Array) => void;
  /** Uses so many buffers for a frame that takes `parts`; the others it keeps. */
  readonly parts?: (parts: number) => number;
  /** Answers a command with something else; with nothing at all for undefined. */
  readonly ack?: (command: number, ack: number) => number | undefined;
}

/** What a network device is like. */
export interface NetOptions {
  /** Its address, six bytes; none if empty. */
  readonly mac?: readonly number[];
  /** Bytes that a frame may carry; 1500 if left out. */
  readonly mtu?: number;
  /** Pairs of queues; 1 if left out. */
  readonly pairs?: number;
  /** Size of each receive and transmit queue; 256 if left out. */
  readonly queueSize?: number;
  /** Features to offer, out of {@linkcode FEATURES}; all of them if left out. */
  readonly features?: bigint;
  /** Megabits per second; 10000 if left out. */
  readonly speed?: number;
  /** 0 half duplex, 1 full; full if left out. */
  readonly duplex?: number;
  /** Fields of its configuration that are not true, 16 bits each, by their offsets. */
  readonly claims?: Readonly<Record<number, number>>;
  /** The rules that it breaks. */
  readonly lies?: NetLies;
}

/** A frame for the driver, with what a device may leave to it. */
export interface Arrival extends Partial<Work> {
  /** Bytes of headers, as the device believes. */
  readonly headers?: number;
}

/** All that the model can do. */
export const FEATURES: bigint = wire.F_CSUM | wire.F_GUEST_CSUM | wire.F_CTRL_GUEST_OFFLOADS |
  wire.F_MTU | wire.F_MAC | wire.F_GUEST_TSO4 | wire.F_GUEST_TSO6 | wire.F_GUEST_ECN |
  wire.F_GUEST_UFO |
  wire.F_HOST_TSO4 | wire.F_HOST_TSO6 | wire.F_HOST_ECN | wire.F_MRG_RXBUF | wire.F_STATUS |
  wire.F_CTRL_VQ | wire.F_CTRL_RX | wire.F_CTRL_VLAN | wire.F_CTRL_RX_EXTRA |
  wire.F_GUEST_ANNOUNCE | wire.F_MQ | wire.F_CTRL_MAC_ADDR | wire.F_DEVICE_STATS |
  wire.F_HASH_TUNNEL | wire.F_VQ_NOTF_COAL | wire.F_NOTF_COAL | wire.F_GUEST_USO4 |
  wire.F_GUEST_USO6 | wire.F_HOST_USO | wire.F_HASH_REPORT | wire.F_GUEST_HDRLEN | wire.F_RSS |
  wire.F_SPEED_DUPLEX;

const MAC = [0x52, 0x54, 0x00, 0x56, 0x49, 0x4f];
/** IPv4, TCP and UDP over both. */
const HASH_TYPES = 0x3f;
const TUNNEL_TYPES = 0x1ff;
const TABLE_ENTRIES = 128, KEY_BYTES = 40;

/** How hashes choose a queue. */
interface Steering {
  readonly types: number;
  readonly key: Uint8Array;
  /** Pairs; empty if hashes choose none. */
  readonly table: readonly number[];
  readonly unclassified: number;
}

const NO_STEERING: Steering = { types: 0, key: new Uint8Array(), table: [], unclassified: 0 };

/** A network device: a card with one end of a wire. */
export class NetModel implements DeviceModel {
  readonly id: number = wire.DEVICE_ID;
  readonly classCode = 0x020000;
  readonly queues: readonly number[];
  readonly features: bigint;
  readonly config: Uint8Array<ArrayBuffer> = new Uint8Array(wire.CONFIG_BYTES);
  /** What it counts. */
  readonly statistics: Statistics;
  /** Which frames it lets in. */
  readonly filter: Filter = new Filter();
  /** Where the frames go that it sends: the other end of the wire. */
  peer: ((frame: Uint8Array<ArrayBuffer>) => void) | undefined;
  /** Commands that it was given, in their order. */
  readonly commands: number[] = [];
  /** Receive offloads that are on: all that were agreed, until the driver says otherwise. */
  offloads: bigint | undefined;
  /** When each queue interrupts: frames and microseconds. */
  readonly coalescing: Map<number, readonly [frames: number, microseconds: number]> = new Map();
  /** Pairs in use. */
  pairs = 1;
  /** Tunnels that hashes look into. */
  tunnels = 0;
  /** Whether it asks for an announcement again as soon as one was made (D-84). */
  announceAlways = false;
  readonly #lies: NetLies;
  readonly #most: number;
  readonly #mtu: number;
  readonly #config: DataView;
  readonly #free: Request[][];
  #steering = NO_STEERING;
  #device: DeviceHandle | undefined;

  /** Makes the device; an honest one if there are no lies. Its link is up. */
  constructor(options: NetOptions = {}) {
    const { mac = MAC, mtu = 1500, pairs = 1, queueSize = 256, features = FEATURES } = options;
    const { speed = 10_000, duplex = 1, claims = {}, lies = {} } = options;
    this.#lies = lies;
    this.#most = pairs;
    this.#mtu = mtu;
    this.queues = [...Array.from({ length: 2 * pairs }, () => queueSize), 64];
    this.features = features & FEATURES & ~(mac.length === 0 ? wire.F_MAC : 0n);
    this.#free = Array.from({ length: pairs }, () => []);
    this.statistics = new Statistics(pairs);
    const view = this.#config = new DataView(this.config.buffer);
    this.config.set(mac, wire.CONFIG_MAC);
    view.setUint16(wire.CONFIG_STATUS, wire.S_LINK_UP, true);
    view.setUint16(wire.CONFIG_MAX_VIRTQUEUE_PAIRS, pairs, true);
    view.setUint16(wire.CONFIG_MTU, mtu, true);
    view.setUint32(wire.CONFIG_SPEED, speed, true);
    view.setUint8(wire.CONFIG_DUPLEX, duplex);
    view.setUint8(wire.CONFIG_RSS_MAX_KEY_SIZE, KEY_BYTES);
    view.setUint16(wire.CONFIG_RSS_MAX_INDIRECTION_TABLE_LENGTH, TABLE_ENTRIES, true);
    view.setUint32(wire.CONFIG_SUPPORTED_HASH_TYPES, HASH_TYPES, true);
    view.setUint32(wire.CONFIG_SUPPORTED_TUNNEL_TYPES, TUNNEL_TYPES, true);
    for (const [at, value] of Object.entries(claims)) view.setUint16(Number(at), value, true);
  }

  /** Buffers that wait for frames. */
  get waiting(): number {
    return this.#free.reduce((sum, { length }) => sum + length, 0);
  }

  /** The device cannot go on until it is reset. */
  needReset(why: string): void {
    this.#device!.needsReset(why);
  }

  /** Puts a wire between two devices. */
  static connect(a: NetModel, b: NetModel): void {
    a.peer = (frame) => void b.receive(frame);
    b.peer = (frame) => void a.receive(frame);
  }

  /** Puts a station at the other end of the wire: it answers ARP, pings and DHCP. */
  meet(options?: StationOptions): this {
    const station = new Station(options);
    this.peer = (frame) => {
      const answer = station.answer(frame);
      if (answer) this.receive(answer);
    };
    return this;
  }

  attach(device: DeviceHandle): void {
    this.#device = device;
  }

  reset(): void {
    for (const free of this.#free) free.length = 0;
    this.filter.reset();
    this.coalescing.clear();
    this.#steering = NO_STEERING;
    this.offloads = undefined;
    this.pairs = 1;
    this.tunnels = 0;
    this.#setStatus(wire.S_ANNOUNCE, false, true);
  }

  queueReset(queue: number): void {
    if (queue < 2 * this.#most && queue % 2 === 0) this.#free[queue / 2]!.length = 0;
  }

  handle(queue: number, request: Request): number | undefined {
    if (queue === this.#controlIndex) return this.#command(request);
    if (queue % 2 === 1) return this.#transmit(queue >> 1, request);
    this.#free[queue / 2]!.push(request);
    return undefined;
  }

  /** Before version 1, the driver may write the address (5.1.4.3). */
  configWrite(offset: number, value: number, width: 1 | 2 | 4): void {
    if (width === 1 && offset < 6 && this.#isLegacy) this.config[offset] = value;
  }

  /** The wire is pulled, or put in again. */
  setLink(up: boolean): void {
    this.#setStatus(wire.S_LINK_UP, up);
  }

  /** Whether the device waits for an announcement. */
  get announcing(): boolean {
    return (this.#config.getUint16(wire.CONFIG_STATUS, true) & wire.S_ANNOUNCE) !== 0;
  }

  /** Asks the driver to announce itself. */
  announce(): void {
    this.#setStatus(wire.S_ANNOUNCE, true);
  }

  /** Another speed. */
  setSpeed(speed: number, duplex: number): void {
    this.#config.setUint32(wire.CONFIG_SPEED, speed, true);
    this.#config.setUint8(wire.CONFIG_DUPLEX, duplex);
    this.#device?.configChanged();
  }

  /**
   * A frame comes over the wire.
   *
   * @param arrival What is left to the driver, if that was agreed.
   * @returns Whether the driver got it: its filters let it in, and there was room.
   */
  receive(frame: Uint8Array, arrival: Arrival = {}): boolean {
    if (!this.#isUp || !this.#lets(frame)) return false;
    const hash = this.#has(wire.F_RSS | wire.F_HASH_REPORT)
      ? hashFrame(frame, this.#steering.types, this.#steering.key)
      : { value: 0, report: 0 };
    const pair = this.#pairFor(frame, hash);
    const header = this.#header(arrival, hash);
    const free = this.#free[pair]!;
    const total = header.length + frame.length;
    const parts = this.#partsFor(free, total);
    if (parts === 0) {
      this.statistics.dropped(pair);
      return false;
    }
    const view = new DataView(header.buffer);
    if (header.length > wire.HDR_BYTES_LEGACY) view.setUint16(wire.HDR_NUM_BUFFERS, parts, true);
    this.#lies.header?.(header);
    const used = Math.min(this.#lies.parts?.(parts) ?? parts, parts);
    const bytes = new Uint8Array(total);
    bytes.set(header);
    bytes.set(frame, header.length);
    this.#device!.atOnce(() => {
      let at = 0;
      for (const request of free.splice(0, used)) {
        const written = request.write(bytes.subarray(at, at + request.writable));
        at += written;
        request.complete(written);
      }
    });
    this.statistics.received(pair, frame.length, header[wire.HDR_FLAGS]!);
    return true;
  }

  get #isLegacy(): boolean {
    return this.#device !== undefined && (this.#device.features & VERSION_1) === 0n;
  }

  get #isUp(): boolean {
    return (this.#config.getUint16(wire.CONFIG_STATUS, true) & wire.S_LINK_UP) !== 0;
  }

  /** It follows all pairs, if the driver knows of them (5.1.2). */
  get #controlIndex(): number {
    return this.#has(wire.F_MQ | wire.F_RSS) ? 2 * this.#most : 2;
  }

  #has(features: bigint): boolean {
    return ((this.#device?.features ?? 0n) & features) !== 0n;
  }

  #setStatus(bit: number, on: boolean, quietly = false): void {
    const status = this.#config.getUint16(wire.CONFIG_STATUS, true);
    this.#config.setUint16(wire.CONFIG_STATUS, on ? status | bit : status & ~bit, true);
    if (!quietly) this.#device?.configChanged();
  }

  #lets(frame: Uint8Array): boolean {
    return this.filter.lets(frame, this.config.subarray(0, 6), {
      addresses: this.#has(wire.F_CTRL_RX),
      vlans: this.#has(wire.F_CTRL_VLAN),
    });
  }

  /** A hash chooses among a table; else what is the same flow comes by the same pair. */
  #pairFor(frame: Uint8Array, { value, report }: { value: number; report: number }): number {
    const { table, unclassified } = this.#steering;
    if (table.length > 0) return report === 0 ? unclassified : table[value % table.length]!;
    return frame.subarray(26, 38).reduce((sum, byte) => sum + byte, 0) % this.pairs;
  }

  #header(arrival: Arrival, hash: { value: number; report: number }): Uint8Array<ArrayBuffer> {
    const header = new Uint8Array(this.#headerBytes);
    const view = new DataView(header.buffer);
    header[wire.HDR_FLAGS] = arrival.flags ?? 0;
    header[wire.HDR_GSO_TYPE] = arrival.gsoType ?? wire.GSO_NONE;
    view.setUint16(wire.HDR_HDR_LEN, arrival.headers ?? 0, true);
    view.setUint16(wire.HDR_GSO_SIZE, arrival.gsoSize ?? 0, true);
    view.setUint16(wire.HDR_CSUM_START, arrival.start ?? 0, true);
    view.setUint16(wire.HDR_CSUM_OFFSET, arrival.offset ?? 0, true);
    if (header.length >= wire.HDR_BYTES_HASH) {
      view.setUint32(wire.HDR_HASH_VALUE, hash.value, true);
      view.setUint16(wire.HDR_HASH_REPORT, hash.report, true);
    }
    return header;
  }

  get #headerBytes(): number {
    if (this.#has(wire.F_HASH_REPORT)) return wire.HDR_BYTES_HASH;
    return this.#has(wire.F_MRG_RXBUF | VERSION_1) ? wire.HDR_BYTES : wire.HDR_BYTES_LEGACY;
  }

  /** How many buffers so many bytes take; 0 if there are too few. */
  #partsFor(free: readonly Request[], bytes: number): number {
    if (!this.#has(wire.F_MRG_RXBUF)) return free[0] && free[0].writable >= bytes ? 1 : 0;
    let room = 0;
    for (const [i, request] of free.entries()) {
      room += request.writable;
      if (room >= bytes) return i + 1;
    }
    return 0;
  }

  #transmit(pair: number, request: Request): number {
    const header = new Uint8Array(this.#headerBytes);
    if (request.read(header) < header.length) throw new DriverFault("A frame without a header");
    const frame = new Uint8Array(request.readable);
    request.read(frame);
    const work = this.#work(header, frame);
    if (pair >= this.pairs) throw new DriverFault(`A frame on pair ${pair}, which is not used`);
    this.statistics.sent(pair, frame.length, work);
    if (!this.#isUp) return 0;
    for (const each of finish(frame, work)) this.peer?.(each);
    return 0;
  }

  /** What a frame's header wants; a driver must want nothing else than was agreed (5.1.9.2.1). */
  #work(header: Uint8Array<ArrayBuffer>, { length }: Uint8Array): Work {
    const view = new DataView(header.buffer);
    const work = {
      flags: header[wire.HDR_FLAGS]!,
      gsoType: header[wire.HDR_GSO_TYPE]!,
      gsoSize: view.getUint16(wire.HDR_GSO_SIZE, true),
      start: view.getUint16(wire.HDR_CSUM_START, true),
      offset: view.getUint16(wire.HDR_CSUM_OFFSET, true),
    };
    const wrong = (what: string) => {
      throw new DriverFault(`A header of a frame of ${length} bytes ${what}`);
    };
    if (length < wire.ETHER_HEADER) wrong("that is none");
    const rest = header.subarray(wire.HDR_NUM_BUFFERS);
    if (rest.some((byte) => byte !== 0)) wrong("with something behind its checksum");
    const sums = (work.flags & wire.HDR_F_NEEDS_CSUM) !== 0;
    if (work.flags & ~wire.HDR_F_NEEDS_CSUM) wrong(`with flags ${work.flags}`);
    if (sums && !this.#has(wire.F_CSUM)) wrong("that wants a checksum");
    if (sums && work.start + work.offset + 2 > length) wrong("with its checksum outside");
    if (work.gsoType === wire.GSO_NONE) {
      if (length > this.#mtu + wire.ETHER_HEADER + wire.VLAN_TAG) wrong("which is too long");
      return work;
    }
    const needs = SEGMENTS[work.gsoType & ~wire.GSO_ECN] ?? 0n;
    if (!this.#has(needs) || !sums || work.gsoSize === 0) {
      wrong(`with segments of type ${work.gsoType}, ${work.gsoSize} bytes`);
    }
    const ends = view.getUint16(wire.HDR_HDR_LEN, true);
    if (ends < work.start || ends > length) wrong(`whose headers end at ${ends}`);
    return work;
  }

  #command(request: Request): number | undefined {
    const head = new Uint8Array(2);
    request.read(head);
    const command = head[0]! << 8 | head[1]!;
    const data = new Uint8Array(request.readable);
    request.read(data);
    this.commands.push(command);
    // What it counts includes the command that asks for it.
    this.statistics.command();
    const answer = this.#answer(command, new DataView(data.buffer), request.writable);
    const right = answer === undefined ? wire.ERR : wire.OK;
    if (right === wire.ERR) this.statistics.failed();
    const { before, behind } = answer ?? {};
    const ack = this.#lies.ack ? this.#lies.ack(command, right) : right;
    if (ack === undefined) return undefined;
    if (before) request.write(before);
    // A command that failed leaves the room before its acknowledgement as it is.
    else if (command === wire.CTRL_NOTF_COAL_VQ_GET) request.nextWritable(8);
    request.write(Uint8Array.of(ack));
    if (behind) request.write(behind);
    return request.written;
  }

  /** Does a command: what the driver gets besides the acknowledgement; undefined if it cannot be done. */
  #answer(
    command: number,
    data: DataView<ArrayBuffer>,
    room: number,
  ): { before?: Uint8Array; behind?: Uint8Array } | undefined {
    const rule = RULES.find(([first, last]) => command >= first && command <= last);
    if (!rule || !this.#has(rule[2])) return undefined;
    try {
      return this.#do(command, data, room);
    } catch (error) {
      if (error instanceof RangeError) return undefined; // data that end too early
      throw error;
    }
  }

  #do(
    command: number,
    data: DataView<ArrayBuffer>,
    room: number,
  ): { before?: Uint8Array; behind?: Uint8Array } | undefined {
    const bytes = new Uint8Array(data.buffer);
    switch (command) {
      case wire.CTRL_MAC_TABLE_SET:
        return this.filter.setTable(bytes) ? {} : undefined;
      case wire.CTRL_MAC_ADDR_SET:
        if (bytes.length !== 6) return undefined;
        this.config.set(bytes, wire.CONFIG_MAC);
        return {};
      case wire.CTRL_VLAN_ADD:
        return this.filter.setVlan(data.getUint16(0, true), true) ? {} : undefined;
      case wire.CTRL_VLAN_DEL:
        return this.filter.setVlan(data.getUint16(0, true), false) ? {} : undefined;
      case wire.CTRL_ANNOUNCE_ACK:
        if (!this.announcing) return undefined;
        this.#setStatus(wire.S_ANNOUNCE, this.announceAlways, !this.announceAlways);
        return {};
      case wire.CTRL_MQ_VQ_PAIRS_SET:
        return this.#usePairs(data.getUint16(0, true), { table: [] });
      case wire.CTRL_MQ_RSS_CONFIG:
        return this.#useTable(data);
      case wire.CTRL_MQ_HASH_CONFIG:
        return this.#useHash(data);
      case wire.CTRL_GUEST_OFFLOADS_SET:
        return this.#useOffloads(data.getBigUint64(0, true));
      case wire.CTRL_NOTF_COAL_TX_SET:
      case wire.CTRL_NOTF_COAL_RX_SET: {
        const kind = command === wire.CTRL_NOTF_COAL_TX_SET ? 1 : 0;
        for (let pair = 0; pair < this.#most; pair++) this.#coalesce(2 * pair + kind, data, 0);
        return {};
      }
      case wire.CTRL_NOTF_COAL_VQ_SET: {
        const queue = data.getUint16(0, true);
        if (queue >= 2 * this.pairs) return undefined;
        this.#coalesce(queue, data, 4);
        return {};
      }
      case wire.CTRL_NOTF_COAL_VQ_GET: {
        const queue = data.getUint16(0, true);
        if (queue >= 2 * this.pairs) return undefined;
        const set = Uint32Array.from(this.coalescing.get(queue) ?? [0, 0]);
        return { before: new Uint8Array(set.buffer) };
      }
      case wire.CTRL_HASH_TUNNEL_SET:
        if (data.getUint32(0, true) & ~TUNNEL_TYPES) return undefined;
        this.tunnels = data.getUint32(0, true);
        return {};
      case wire.CTRL_STATS_QUERY:
        return { behind: this.statistics.types };
      case wire.CTRL_STATS_GET: {
        const behind = this.statistics.get(data, this.#controlIndex, room - 1);
        return behind && { behind };
      }
      default:
        return bytes.length === 1 && this.filter.setMode(command, bytes[0]!) ? {} : undefined;
    }
  }

  #usePairs(pairs: number, steering: Partial<Steering>): object | undefined {
    if (pairs < 1 || pairs > this.#most) return undefined;
    this.pairs = pairs;
    this.#steering = { ...this.#steering, ...steering };
    return {};
  }

  #useTable(data: DataView<ArrayBuffer>): object | undefined {
    const types = data.getUint32(0, true);
    const entries = data.getUint16(4, true) + 1;
    const unclassified = data.getUint16(6, true);
    const table = Array.from({ length: entries }, (_, i) => data.getUint16(8 + 2 * i, true));
    const pairs = data.getUint16(8 + 2 * entries, true);
    const length = data.getUint8(10 + 2 * entries);
    const key = new Uint8Array(data.buffer, 11 + 2 * entries);
    const right = [...table, unclassified].every((pair) => pair < this.#most) &&
      (entries & entries - 1) === 0 && entries <= TABLE_ENTRIES && (types & ~HASH_TYPES) === 0 &&
      key.length === length && length <= KEY_BYTES;
    return right ? this.#usePairs(pairs, { types, key, table, unclassified }) : undefined;
  }

  #useHash(data: DataView<ArrayBuffer>): object | undefined {
    const types = data.getUint32(0, true);
    const length = data.getUint8(12);
    const key = new Uint8Array(data.buffer, 13);
    if (types & ~HASH_TYPES || data.getBigUint64(4, true) !== 0n || key.length !== length) {
      return undefined;
    }
    this.#steering = { ...this.#steering, types, key };
    return {};
  }

  #useOffloads(wanted: bigint): object | undefined {
    if (wanted & ~this.#device!.features) return undefined;
    this.offloads = wanted;
    return {};
  }

  #coalesce(queue: number, data: DataView, at: number): void {
    this.coalescing.set(queue, [data.getUint32(at, true), data.getUint32(at + 4, true)]);
  }
}

/** The feature for each `gso_type`. */
const SEGMENTS: Readonly<Record<number, bigint>> = {
  [wire.GSO_TCPV4]: wire.F_HOST_TSO4,
  [wire.GSO_TCPV6]: wire.F_HOST_TSO6,
  [wire.GSO_UDP_L4]: wire.F_HOST_USO,
};

/** The features that commands need. */
const RULES: readonly (readonly [first: number, last: number, feature: bigint])[] = [
  [wire.CTRL_RX_PROMISC, wire.CTRL_RX_ALLMULTI, wire.F_CTRL_RX],
  [wire.CTRL_RX_ALLUNI, wire.CTRL_RX_NOBCAST, wire.F_CTRL_RX_EXTRA],
  [wire.CTRL_MAC_TABLE_SET, wire.CTRL_MAC_TABLE_SET, wire.F_CTRL_RX],
  [wire.CTRL_MAC_ADDR_SET, wire.CTRL_MAC_ADDR_SET, wire.F_CTRL_MAC_ADDR],
  [wire.CTRL_VLAN_ADD, wire.CTRL_VLAN_DEL, wire.F_CTRL_VLAN],
  [wire.CTRL_ANNOUNCE_ACK, wire.CTRL_ANNOUNCE_ACK, wire.F_GUEST_ANNOUNCE],
  [wire.CTRL_MQ_VQ_PAIRS_SET, wire.CTRL_MQ_VQ_PAIRS_SET, wire.F_MQ],
  [wire.CTRL_MQ_RSS_CONFIG, wire.CTRL_MQ_RSS_CONFIG, wire.F_RSS],
  [wire.CTRL_MQ_HASH_CONFIG, wire.CTRL_MQ_HASH_CONFIG, wire.F_HASH_REPORT],
  [wire.CTRL_GUEST_OFFLOADS_SET, wire.CTRL_GUEST_OFFLOADS_SET, wire.F_CTRL_GUEST_OFFLOADS],
  [wire.CTRL_NOTF_COAL_TX_SET, wire.CTRL_NOTF_COAL_RX_SET, wire.F_NOTF_COAL],
  [wire.CTRL_NOTF_COAL_VQ_SET, wire.CTRL_NOTF_COAL_VQ_GET, wire.F_VQ_NOTF_COAL],
  [wire.CTRL_HASH_TUNNEL_SET, wire.CTRL_HASH_TUNNEL_SET, wire.F_HASH_TUNNEL],
  [wire.CTRL_STATS_QUERY, wire.CTRL_STATS_GET, wire.F_DEVICE_STATS],
];
