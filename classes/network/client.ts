import {
  argument,
  type ClientLane,
  Feed,
  type OpenClient,
  RequestError,
  Status,
} from "../../core/class/mod.ts";
import { type Frame, segmentationOf } from "./frame.ts";
import { fillChecksum } from "./internet_checksum.ts";
import {
  formatMac,
  FRAME_HEADER,
  isStation,
  LONGEST_FRAME,
  MAC_BYTES,
  NET_STATISTICS,
  NetChecksum,
  NetEventWord,
  NetOperation,
  type NetProperties,
  NetReceiveWord,
  parseMac,
  RECEIVE_OFFLOADS,
  type ReceiveOffload,
  TRANSMIT_OFFLOADS,
  type TransmitOffloadName,
} from "./protocol.ts";
import { type Command, NetControl, type Remembered } from "./control.ts";
import { NetReceiver } from "./receiver.ts";
import { NetSlots, type TransmitOffload, transmitOffload } from "./slots.ts";

/** The lanes of a network device. */
export interface NetLanes {
  /** Frames that come. */
  readonly receive: ClientLane;
  /** Frames that go. */
  readonly transmit: ClientLane;
  /** Operations. */
  readonly control: ClientLane;
  /** Changes. */
  readonly events: ClientLane;
}

/** Something about a network device that an application may want to hear of. */
export type NetChange =
  /** Its link went up or down. */
  | { readonly type: "link"; readonly up: boolean }
  /**
   * It moved to another place of its network. The client has told the switches there; an application that has IP
   * addresses announces them, too.
   */
  | { readonly type: "announce" }
  /** It was started anew, and all that was set is set again but for what is lost. */
  | { readonly type: "restarted"; readonly lost: readonly string[] };

/** What device and driver agreed that the device does. */
export interface NetOffloads {
  /** About frames that are sent. */
  readonly transmit: Readonly<Record<TransmitOffloadName, boolean>>;
  /** About frames that came. */
  readonly receive: Readonly<Record<ReceiveOffload, boolean>>;
}

/** What can be hashed (virtio 1.4, 5.1.9.4.3). */
export interface HashSupport {
  /** The hashes that the device can make, a bit each. */
  readonly types: number;
  /** Bytes of the longest key. */
  readonly keyBytes: number;
  /** Entries of the largest table of queue pairs; 0 if the device does not choose pairs by a hash. */
  readonly entries: number;
  /** Whether hashes come with the frames. */
  readonly reports: boolean;
}

/** Which frames come besides one's own; what is left out stays as it is. */
export interface ReceiveMode {
  /** All of one station. */
  readonly allUnicast?: boolean;
  /** None of several stations. */
  readonly noMulticast?: boolean;
  /** None of one station. */
  readonly noUnicast?: boolean;
  /** None for all stations. */
  readonly noBroadcast?: boolean;
}

/** How a device chooses a queue pair by a hash (virtio 1.4, 5.1.9.5.7). */
export interface RssOptions {
  /** Hashes to make, a bit each, out of {@linkcode HashSupport.types}. */
  readonly types: number;
  /** Queue pairs, of which the low bits of a hash choose one: as many as a power of two. */
  readonly table: readonly number[];
  /** Key of the hash; 40 random bytes if left out. */
  readonly key?: Uint8Array;
  /** Pair for frames without a hash; 0 if left out. */
  readonly unclassified?: number;
  /** Pairs to send on; those in the table if left out. */
  readonly transmitPairs?: number;
}

/** When a device interrupts: after so many frames, or so long after the first of them. Zeroes: always. */
export interface Coalescing {
  /** Frames. */
  readonly frames: number;
  /** Microseconds. */
  readonly microseconds: number;
}

/** Frames wait for a reader, at most this many; those that come then are dropped and counted. */
const FRAMES = 1024;
const CHANGES = 64;
/** More addresses than this are not filtered but all let in, as FreeBSD does it. */
const MOST_ADDRESSES = 128;
/** A device that asks for announcements all the time gets one in so many milliseconds. */
const ANNOUNCE_MS = 100;
const VLAN_TAG = 4;
/** The greatest number in a word of a record. */
const MOST = 2 ** 32 - 1;
const RECEIVE_MODES = ["allUnicast", "noMulticast", "noUnicast", "noBroadcast"] as const;
const KINDS = ["receive", "transmit"] as const;
/** Bytes of the usual Toeplitz key. */
const KEY_BYTES = 40;

/** An application's view of a network card. Frames begin with their addresses; there is neither padding nor FCS. */
export class NetClient {
  /** Frames as slots, without a copy. */
  readonly slots: NetSlots;
  readonly #lanes: NetLanes;
  readonly #receiver: NetReceiver;
  readonly #control: NetControl;
  readonly #frames = new Set<Feed<Frame>>();
  readonly #changes = new Set<Feed<NetChange>>();
  readonly #properties: NetProperties;
  #offloads: NetOffloads;
  #mac: Uint8Array<ArrayBuffer>;
  #link: boolean;
  #speed: number;
  #duplex: number;
  #unheard = 0;
  /** The frame that is being copied. */
  readonly #parts: Uint8Array<ArrayBuffer>[] = [];
  #about: About | undefined;
  /** What is let in because somebody wants it, and because there are too many addresses to filter. */
  readonly #wanted = { promiscuous: false, allMulticast: false };
  readonly #overflow = { promiscuous: false, allMulticast: false };
  #announced = -Infinity;
  #announcing: ReturnType<typeof setTimeout> | undefined;
  #gone = false;

  /** Makes the client of a card; for the class. */
  static open(lanes: NetLanes, properties: NetProperties): OpenClient<NetClient> {
    const client = new NetClient(lanes, properties);
    return { client, update: () => client.#update(), restarted: () => client.#restarted() };
  }

  private constructor(lanes: NetLanes, properties: NetProperties) {
    this.#lanes = lanes;
    this.#properties = properties;
    this.#offloads = offloadsOf(properties);
    this.#link = properties.link;
    this.#speed = properties.speed;
    this.#duplex = properties.duplex;
    this.#control = new NetControl(
      lanes.control,
      (lost) => this.#tell({ type: "restarted", lost }),
    );
    this.#receiver = new NetReceiver(lanes.receive, () => this.#deliver(), () => this.#end());
    this.slots = new NetSlots(lanes.transmit, lanes.receive, this.#receiver);
    this.#mac = parseMac(properties.mac) ?? this.#ownMac();
    this.#awaitEvent();
  }

  /** Its address: six bytes. */
  get mac(): Uint8Array<ArrayBuffer> {
    return this.#mac.slice();
  }

  /** Bytes that a frame may carry behind its header. */
  get mtu(): number {
    return this.#properties.mtu;
  }

  /** What device and driver agreed that the device does. */
  get offloads(): NetOffloads {
    return this.#offloads;
  }

  /** Pairs of queues, of which one is used until {@linkcode setQueuePairs} or {@linkcode setRss} say otherwise. */
  get queuePairs(): number {
    return this.#properties.pairs;
  }

  /** What can be hashed. */
  get hashes(): HashSupport {
    const { hashTypes, hashKeyBytes, rssEntries, hashReports } = this.#properties;
    return { types: hashTypes, keyBytes: hashKeyBytes, entries: rssEntries, reports: hashReports };
  }

  /** Whether its link is up. */
  get linkUp(): boolean {
    return this.#link;
  }

  /** Megabits per second, if the device says so. */
  get speed(): number | undefined {
    return this.#speed <= 0x7fffffff ? this.#speed : undefined;
  }

  /** Whether it can send and receive at once, if the device says so. */
  get duplex(): "half" | "full" | undefined {
    return this.#duplex === 1 ? "full" : this.#duplex === 0 ? "half" : undefined;
  }

  /** Frames that came and that nobody wanted. */
  get unheard(): number {
    return this.#unheard;
  }

  /**
   * The frames that come from now on; each of several readers gets all of them. A frame whose checksum was left to us is
   * completed.
   *
   * @param capacity The most frames that wait for this reader; those that come then are dropped and counted.
   */
  frames(capacity = FRAMES): Feed<Frame> {
    argument.integer(capacity, "NetClient.frames", "capacity", 1);
    return this.#feed(this.#frames, { capacity, keep: "oldest" });
  }

  /** What changes from now on: the link, the place in the network, a device that was started anew. */
  changes(): Feed<NetChange> {
    return this.#feed(this.#changes, { capacity: CHANGES, keep: "newest" });
  }

  /**
   * Sends a frame; it is on its way when the promise settles.
   *
   * @param frame From its first address on. It is copied at once, if there is room; else it must not change until the
   * promise settles.
   * @param offload What the device is to do about it; a checksum that the device does not fill in is filled in here.
   * @throws RangeError If it is no frame, or too long.
   * @throws RequestError If the driver or the device is gone.
   * @throws TypeError If the buffer is transferred or resized before it was copied.
   */
  async send(frame: Uint8Array, offload?: TransmitOffload): Promise<void> {
    const own = argument.bytes(frame, "NetClient.send", "frame");
    const { length } = own;
    const action = `Cannot send a frame of ${length} bytes`;
    const how = this.#checkFrame("NetClient.send", action, length, offload);
    let slot = this.#lanes.transmit.take();
    if (slot < 0) slot = await this.#lanes.transmit.taken(action);
    if (argument.isLost(own, length)) {
      this.slots.release(slot);
      throw argument.lostError(action);
    }
    const status = await new Promise<number>((resolve) => this.#submit(slot, own, how, resolve));
    if (status !== Status.ok) throw new RequestError(action, status);
  }

  /**
   * Sends a frame, if there is room at once. Nobody hears whether it was sent.
   *
   * @returns Whether there was room.
   * @throws RangeError As {@linkcode send}.
   */
  trySend(frame: Uint8Array, offload?: TransmitOffload): boolean {
    const own = argument.bytes(frame, "NetClient.trySend", "frame");
    const action = `Cannot send a frame of ${own.length} bytes`;
    const how = this.#checkFrame("NetClient.trySend", action, own.length, offload);
    const slot = this.#lanes.transmit.take();
    if (slot < 0) return false;
    this.#submit(slot, own, how, ignore);
    return true;
  }

  /** Receives everything that passes, or not. */
  async setPromiscuous(on: boolean): Promise<void> {
    argument.flag(on, "NetClient.setPromiscuous", "on");
    this.#wanted.promiscuous = on;
    await this.#letIn("promiscuous", "receive everything");
  }

  /** Receives all multicast, or not. */
  async setAllMulticast(on: boolean): Promise<void> {
    argument.flag(on, "NetClient.setAllMulticast", "on");
    this.#wanted.allMulticast = on;
    await this.#letIn("allMulticast", "receive all multicast");
  }

  /** Receives more or less than usual. */
  async setReceiveMode(mode: ReceiveMode): Promise<void> {
    const where = "NetClient.setReceiveMode";
    const { ...wanted } = argument.record(mode, where, "mode");
    const names = RECEIVE_MODES.filter((name) => wanted[name] !== undefined);
    for (const name of names) argument.flag(wanted[name], where, `mode.${name}`);
    for (const name of names) await this.#switch(name, wanted[name]!, `set ${name}`);
  }

  /**
   * Receives these addresses besides its own and broadcast, and no others that were set before. Where there are too many
   * for the device, it receives everything of their kind.
   */
  async setMacTable(addresses: readonly Uint8Array[]): Promise<void> {
    const where = "NetClient.setMacTable";
    const all = argument.list(addresses, where, "addresses").map((address, i) =>
      argument.copied(address, where, `addresses[${i}]`, MAC_BYTES, MAC_BYTES)
    );
    const isMulticast = (address: Uint8Array) => (address[0]! & 1) === 1;
    const unicast = all.filter((address) => !isMulticast(address));
    const multicast = all.filter(isMulticast);
    const what = `receive ${all.length} addresses`;
    await this.#overflows("promiscuous", unicast.length > MOST_ADDRESSES, what);
    await this.#overflows("allMulticast", multicast.length > MOST_ADDRESSES, what);
    const data = Uint8Array.from(
      [unicast, multicast].filter(({ length }) => length <= MOST_ADDRESSES).flat()
        .flatMap((address) => [...address]),
    );
    await this.#run({ what, operation: NetOperation.macTable, data }, { key: "macTable" });
  }

  /**
   * Takes another address.
   *
   * @throws RangeError If no card may have it.
   */
  async setMac(mac: Uint8Array): Promise<void> {
    const data = argument.copied(mac, "NetClient.setMac", "mac", MAC_BYTES, MAC_BYTES);
    if (!isStation(data)) {
      throw new RangeError(`Cannot take the address ${formatMac(data)}: no card may have it`);
    }
    const what = "set the MAC address";
    await this.#run({ what, operation: NetOperation.macAddress, data }, { key: "mac" });
    this.#mac = data;
  }

  /** Receives frames of a VLAN. */
  async addVlan(id: number): Promise<void> {
    argument.integer(id, "NetClient.addVlan", "id", 0, 4095);
    const what = `receive VLAN ${id}`;
    await this.#run({ what, operation: NetOperation.addVlan, numbers: [id] }, {
      key: `vlan ${id}`,
    });
  }

  /** Receives frames of a VLAN no more. */
  async removeVlan(id: number): Promise<void> {
    argument.integer(id, "NetClient.removeVlan", "id", 0, 4095);
    await this.#run(
      { what: `leave VLAN ${id}`, operation: NetOperation.removeVlan, numbers: [id] },
      { key: `vlan ${id}`, forget: true },
    );
  }

  /** Uses so many pairs of queues; the device chooses by itself by which of them a frame comes. */
  async setQueuePairs(pairs: number): Promise<void> {
    argument.integer(pairs, "NetClient.setQueuePairs", "pairs", 1, this.queuePairs);
    const what = `use ${pairs} queue pairs`;
    await this.#run({ what, operation: NetOperation.queuePairs, numbers: [pairs] }, STEERING);
  }

  /** Has the device choose queue pairs by a hash of each frame. */
  async setRss(options: RssOptions): Promise<void> {
    const where = "NetClient.setRss";
    const last = this.queuePairs - 1;
    const { types, unclassified = 0, ...given } = argument.record(options, where, "options");
    const table = argument.list(given.table, where, "options.table").map((pair, i) =>
      argument.integer(pair, where, `options.table[${i}]`, 0, last)
    );
    const { transmitPairs = Math.max(...table, 0) + 1 } = given;
    const entries = "options.table.length";
    argument.integer(table.length, where, entries, 1, Math.max(this.hashes.entries, 1));
    if ((table.length & table.length - 1) !== 0) {
      throw new RangeError(
        `Cannot use ${table.length} entries of a table: a power of two is wanted`,
      );
    }
    argument.integer(unclassified, where, "options.unclassified", 0, last);
    argument.integer(transmitPairs, where, "options.transmitPairs", 1, this.queuePairs);
    this.#checkTypes(types, where, "options.types");
    const key = this.#key(given.key, where, "options.key");
    const start = key.length + key.length % 2;
    const data = new Uint8Array(start + 2 * table.length);
    data.set(key);
    table.forEach((pair, i) => data.set([pair & 0xff, pair >> 8], start + 2 * i));
    await this.#run({
      what: "choose queue pairs by a hash",
      operation: NetOperation.rss,
      numbers: [types, unclassified, transmitPairs, key.length],
      data,
    }, STEERING);
  }

  /** Has the device report a hash of each frame; see {@linkcode Frame.hash}. */
  async setHash(types: number, key?: Uint8Array): Promise<void> {
    this.#checkTypes(types, "NetClient.setHash", "types");
    const data = this.#key(key, "NetClient.setHash", "key");
    await this.#run({
      what: "have hashes reported",
      operation: NetOperation.hash,
      numbers: [types, data.length],
      data,
    }, { key: "hash" });
  }

  /** Has hashes look into tunnels: a bit each (virtio 1.4, 5.1.9.4.3.6). */
  async setHashTunnels(types: number): Promise<void> {
    argument.integer(types, "NetClient.setHashTunnels", "types", 0, MOST);
    await this.#run(
      { what: "hash within tunnels", operation: NetOperation.hashTunnels, numbers: [types] },
      { key: "hashTunnels" },
    );
  }

  /** Switches what the device may leave undone about frames that it delivers; what is left out is switched off. */
  async setOffloads(wanted: Partial<Record<ReceiveOffload, boolean>>): Promise<void> {
    const where = "NetClient.setOffloads";
    const { ...given } = argument.record(wanted, where, "wanted");
    const named = RECEIVE_OFFLOADS.filter((name) => given[name] !== undefined);
    const on = named.filter((name) => argument.flag(given[name], where, `wanted.${name}`));
    const bits = RECEIVE_OFFLOADS.reduce(
      (all, name, i) => on.includes(name) ? all | 1 << i : all,
      0,
    );
    const missing = on.find((name) => !this.offloads.receive[name]);
    if (missing) {
      throw new TypeError(`Cannot switch ${missing} on: device and driver did not agree on it`);
    }
    await this.#run(
      { what: "switch offloads", operation: NetOperation.offloads, numbers: [bits] },
      { key: "offloads" },
    );
  }

  /** Sets when the device interrupts, for all queues of a kind. */
  async setCoalescing(
    wanted: { readonly receive?: Coalescing; readonly transmit?: Coalescing },
  ): Promise<void> {
    const where = "NetClient.setCoalescing";
    const { ...both } = argument.record(wanted, where, "wanted");
    const orders = KINDS.flatMap((kind) =>
      both[kind] === undefined
        ? []
        : [{ kind, numbers: coalescingNumbers(both[kind], where, `wanted.${kind}`) }]
    );
    for (const { kind, numbers } of orders) {
      await this.#run({
        what: `set when frames that were ${kind === "receive" ? "received" : "sent"} interrupt`,
        operation: NetOperation[`${kind}Coalescing`],
        numbers,
      }, { key: `${kind}Coalescing` });
    }
  }

  /** Sets when one queue interrupts. */
  async setQueueCoalescing(
    pair: number,
    kind: "receive" | "transmit",
    coalescing: Coalescing,
  ): Promise<void> {
    const where = "NetClient.setQueueCoalescing";
    argument.integer(pair, where, "pair", 0, this.queuePairs - 1);
    argument.word(kind, where, "kind", KINDS);
    const numbers = coalescingNumbers(coalescing, where, "coalescing");
    await this.#run({
      what: `set when the ${kind} queue ${pair} interrupts`,
      operation: NetOperation.queueCoalescing,
      numbers: [...numbers, pair, Number(kind === "transmit")],
    }, { key: `coalescing ${kind} ${pair}` });
  }

  /** When one queue interrupts, as the device says. */
  async queueCoalescing(pair: number, kind: "receive" | "transmit"): Promise<Coalescing> {
    argument.integer(pair, "NetClient.queueCoalescing", "pair", 0, this.queuePairs - 1);
    argument.word(kind, "NetClient.queueCoalescing", "kind", KINDS);
    const what = `ask when the ${kind} queue ${pair} interrupts`;
    const answer = await this.#run({
      what,
      operation: NetOperation.getQueueCoalescing,
      numbers: [pair, Number(kind === "transmit")],
    });
    const [frames, microseconds] = wordsOf(answer);
    if (frames !== undefined && microseconds !== undefined) return { frames, microseconds };
    throw new RequestError(`Cannot ${what}`, Status.invalid);
  }

  /** What the device has counted, summed up over its queues, under the names of the specification. */
  async deviceStatistics(): Promise<Readonly<Record<string, number>>> {
    const what = "ask for the device's statistics";
    const words = wordsOf(await this.#run({ what, operation: NetOperation.statistics }));
    if (words.length % 4 !== 0) throw new RequestError(`Cannot ${what}`, Status.invalid);
    const counts: Record<string, number> = {};
    for (let at = 0; at + 4 <= words.length; at += 4) {
      const name = NET_STATISTICS[words[at]!];
      if (name === undefined) continue;
      counts[name] = (counts[name] ?? 0) + words[at + 2]! + words[at + 3]! * 2 ** 32;
    }
    return counts;
  }

  #feed<T>(
    feeds: Set<Feed<T>>,
    options: { readonly capacity: number; readonly keep: "oldest" | "newest" },
  ): Feed<T> {
    const feed = new Feed<T>(options, (closed) => feeds.delete(closed));
    if (this.#gone) feed.end();
    else feeds.add(feed);
    return feed;
  }

  #run(command: Command, remember?: Remembered): Promise<Uint8Array<ArrayBuffer>> {
    const { data } = command;
    if (data && data.length > this.#control.room) {
      throw new RangeError(
        `Cannot ${command.what}: ${data.length} bytes are more than ${this.#control.room}`,
      );
    }
    return this.#control.run(command, remember);
  }

  async #overflows(mode: "promiscuous" | "allMulticast", on: boolean, what: string): Promise<void> {
    if (this.#overflow[mode] === on) return;
    this.#overflow[mode] = on;
    await this.#letIn(mode, what);
  }

  #letIn(mode: "promiscuous" | "allMulticast", what: string): Promise<void> {
    return this.#switch(mode, this.#wanted[mode] || this.#overflow[mode], what);
  }

  async #switch(
    name: "promiscuous" | "allMulticast" | Extract<keyof ReceiveMode, string>,
    on: boolean,
    what: string,
  ): Promise<void> {
    await this.#run(
      { what, operation: NetOperation[name], numbers: [Number(on)] },
      { key: name },
    );
  }

  /** A device without an address gets one that is nobody's (5.1.4.2); a device that can be told is. */
  #ownMac(): Uint8Array<ArrayBuffer> {
    const mac = crypto.getRandomValues(new Uint8Array(MAC_BYTES));
    mac[0] = mac[0]! & 0xfc | 0x02;
    this.setMac(mac).catch(ignore);
    return mac;
  }

  /** The key for a hash: a copy, or a random one. */
  #key(given: unknown, where: string, name: string): Uint8Array<ArrayBuffer> {
    const { keyBytes } = this.hashes;
    if (given !== undefined) return argument.copied(given, where, name, 0, keyBytes);
    return crypto.getRandomValues(new Uint8Array(Math.min(KEY_BYTES, keyBytes)));
  }

  #checkTypes(types: number, where: string, name: string): void {
    argument.integer(types, where, name, 0, MOST);
    const unknown = (types & ~this.hashes.types) >>> 0;
    if (unknown !== 0) {
      throw new RangeError(
        `Cannot use hashes 0x${types.toString(16)}: the device does not make 0x${
          unknown.toString(16)
        }`,
      );
    }
  }

  /** Checks what is to be sent. Returns a copy of what the device is to do about it. */
  #checkFrame(
    where: string,
    action: string,
    length: number,
    offload: TransmitOffload | undefined,
  ): TransmitOffload | undefined {
    if (length < FRAME_HEADER) {
      throw new RangeError(`${action}: two addresses and a type take ${FRAME_HEADER}`);
    }
    const how = offload === undefined ? undefined : transmitOffload(offload, length, where);
    const segments = how?.segmentation;
    const most = segments ? LONGEST_FRAME : this.mtu + FRAME_HEADER + VLAN_TAG;
    const longest = Math.min(most, this.slots.bytes);
    if (length > longest) {
      throw new RangeError(
        `${action}: it may have ${longest}` + (segments ? "" : `, since the MTU is ${this.mtu}`),
      );
    }
    if (!segments) return how;
    const { type, ecn = false } = segments;
    if (this.offloads.transmit[type] && (!ecn || this.offloads.transmit.ecn)) return how;
    throw new TypeError(`${action}: the device does not cut ${type} into segments`);
  }

  #submit(
    slot: number,
    frame: Uint8Array,
    offload: TransmitOffload | undefined,
    settle: (status: number) => void,
  ): void {
    const data = this.slots.data(slot);
    data.set(frame);
    const checksum = offload?.checksum;
    if (checksum && !this.offloads.transmit.checksum) {
      fillChecksum(data.subarray(0, frame.length), checksum.start, checksum.offset);
      offload = undefined;
    }
    this.slots.submit(slot, frame.length, (_, status) => {
      this.slots.release(slot);
      settle(status);
    }, offload);
    this.slots.publish();
  }

  /** Copies frames that are complete to those who read them. */
  #deliver(): void {
    if (this.#frames.size > 0) this.#receiver.drain(this.#copy);
    else this.#unheard += this.#receiver.drain(this.#pass);
  }

  readonly #pass = (slot: number): void => this.#receiver.release(slot);

  readonly #copy = (slot: number, offset: number, length: number, more: number): void => {
    if (this.#parts.length === 0) this.#about = this.#aboutFrame(slot);
    this.#parts.push(this.#receiver.data(slot).slice(offset, offset + length));
    this.#receiver.release(slot);
    if (more > 0) return;
    const bytes = joined(this.#parts.splice(0));
    const checksum = this.#completed(bytes);
    const frame = { ...this.#about!.more, bytes, checksum };
    let first = true;
    for (const feed of this.#frames) {
      feed.put(first ? frame : { ...frame, bytes: frame.bytes.slice() });
      first = false;
    }
  };

  /** Fills in a checksum that was left to us; of a frame that was put together it stays what its parts need. */
  #completed(bytes: Uint8Array): Frame["checksum"] {
    const { checksum, place, more } = this.#about!;
    if (checksum === NetChecksum.valid) return "valid";
    if (checksum !== NetChecksum.partial) return "unknown";
    if (more.segmentation) return "partial";
    const [start, offset] = [place & 0xffff, place >>> 16];
    if (start + offset + 2 > bytes.length) return "unknown";
    fillChecksum(bytes, start, offset);
    return "valid";
  }

  /** What the driver says of a frame, by its first slot. */
  #aboutFrame(slot: number): About {
    const word = (which: number) => this.#receiver.word(slot, which);
    const kind = word(NetReceiveWord.kind);
    const segmentation = segmentationOf(word(NetReceiveWord.segmentation));
    const hash = { value: word(NetReceiveWord.hash), type: kind >>> 8 & 0xff };
    return {
      checksum: kind & 0xff,
      place: word(NetReceiveWord.checksum),
      more: {
        pair: kind >>> 16,
        ...(hash.type !== 0 && { hash }),
        ...(segmentation && { segmentation }),
      },
    };
  }

  /** Waits for the link to change. */
  #awaitEvent(): void {
    const { events } = this.#lanes;
    const slot = events.take();
    if (slot < 0) return;
    events.submit(slot, (_, status) => {
      events.release(slot);
      if (status !== Status.ok) return;
      this.#event(slot);
      this.#awaitEvent();
    });
    events.publish();
  }

  #event(slot: number): void {
    const word = (which: number) => this.#lanes.events.word(slot, which);
    this.#setLink({
      link: word(NetEventWord.link) === 1,
      speed: word(NetEventWord.speed),
      duplex: word(NetEventWord.duplex),
    });
    if (word(NetEventWord.announce) === 1) this.#announceSoon();
  }

  #setLink({ link, speed, duplex }: Pick<NetProperties, "link" | "speed" | "duplex">): void {
    this.#speed = speed;
    this.#duplex = duplex;
    if (link === this.#link) return;
    this.#link = link;
    this.#tell({ type: "link", up: link });
  }

  #update(): void {
    this.#offloads = offloadsOf(this.#properties);
    this.#setLink(this.#properties);
  }

  #restarted(): void {
    this.#receiver.restarted();
    this.#control.restarted();
  }

  #announceSoon(): void {
    if (this.#announcing !== undefined || this.#gone) return;
    const wait = this.#announced + ANNOUNCE_MS - performance.now();
    this.#announcing = setTimeout(() => this.#announce(), Math.max(0, wait));
  }

  /** Tells the switches where the device is now (5.1.9.5.4), by a frame that needs no IP address: RARP, as QEMU does. */
  #announce(): void {
    this.#announcing = undefined;
    this.#announced = performance.now();
    this.trySend(rarp(this.#mac));
    this.#tell({ type: "announce" });
    this.#run({ what: "say that it was announced", operation: NetOperation.announced })
      .catch(ignore);
  }

  #tell(change: NetChange): void {
    for (const feed of this.#changes) feed.put(change);
  }

  /** Nothing will come any more. */
  #end(): void {
    this.#gone = true;
    clearTimeout(this.#announcing);
    for (const feed of [...this.#frames, ...this.#changes]) feed.end();
  }
}

/** What the driver says of a frame. */
interface About {
  readonly checksum: number;
  readonly place: number;
  readonly more: Omit<Frame, "bytes" | "checksum">;
}

/** What sets how frames are spread over queue pairs: the last of them counts (5.1.9.5.5). */
const STEERING: Remembered = { key: "steering" };

const BROADCAST = new Uint8Array(MAC_BYTES).fill(0xff);
const RARP_TYPE = 0x8035;
const RARP_BYTES = 60;

/** A frame that only says where somebody is: a request of the reverse address resolution (RFC 903). */
function rarp(mac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(RARP_BYTES);
  frame.set(BROADCAST);
  frame.set(mac, 6);
  // Type; Ethernet and IPv4 addresses of 6 and 4 bytes; operation 3; who asks and about whom: oneself.
  frame.set([RARP_TYPE >> 8, RARP_TYPE & 0xff, 0, 1, 8, 0, 6, 4, 0, 3], 12);
  frame.set(mac, 22);
  frame.set(mac, 32);
  return frame;
}

function offloadsOf({ transmitOffloads, receiveOffloads }: NetProperties): NetOffloads {
  return {
    transmit: named(TRANSMIT_OFFLOADS, transmitOffloads),
    receive: named(RECEIVE_OFFLOADS, receiveOffloads),
  };
}

function named<N extends string>(names: readonly N[], bits: number): Readonly<Record<N, boolean>> {
  return Object.fromEntries(names.map((name, i) => [name, (bits >> i & 1) === 1])) as Record<
    N,
    boolean
  >;
}

function coalescingNumbers(given: Coalescing, where: string, name: string): number[] {
  const { frames, microseconds } = argument.record(given, where, name);
  return [
    argument.integer(frames, where, `${name}.frames`, 0, MOST),
    argument.integer(microseconds, where, `${name}.microseconds`, 0, MOST),
  ];
}

function wordsOf(bytes: Uint8Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function ignore(): void {}
