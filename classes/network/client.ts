import {
  argument,
  type Feed,
  type Lanes,
  listen,
  News,
  type OpenClient,
  RequestError,
  Settings,
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
import { answeredNumbers, numbers } from "./numbers.ts";
import { NetCoalescing } from "./coalescing.ts";
import { NetFilter } from "./filter.ts";
import { NetReceiver } from "./receiver.ts";
import { NetSteering } from "./steering.ts";
import { FrameSlots } from "./frame_slots.ts";
import { NetSlots, type TransmitOffload, transmitOffload } from "./slots.ts";

type NetLanes = Lanes<"receive" | "transmit" | "control" | "events", "long">;

/** Something about a network device that an application may want to hear of. */
export type NetChange =
  /** Its link went up or down. */
  | {
    readonly type: "link";
    /** Whether it is up now. */
    readonly up: boolean;
  }
  /**
   * It moved to another place of its network. The client has told the switches there; an application that has IP
   * addresses announces them, too.
   */
  | { readonly type: "announce" }
  /** It was started anew, and all that was set is set again but for what is lost. */
  | {
    readonly type: "restarted";
    /** What could not be set again, as errors name it (`set the MAC address`); empty where all was. */
    readonly lost: readonly string[];
  };

/** What device and driver agreed that the device does. */
export interface NetOffloads {
  /** About frames that are sent. */
  readonly transmit: Readonly<Record<TransmitOffloadName, boolean>>;
  /** About frames that came. */
  readonly receive: Readonly<Record<ReceiveOffload, boolean>>;
}

/** Frames wait for a reader, at most this many; those that come then are dropped and counted. */
const FRAMES = 1024;
/** A device that asks for announcements all the time gets one in so many milliseconds. */
const ANNOUNCE_MS = 100;
const VLAN_TAG = 4;

/** An application's view of a network card. Frames begin with their addresses; there is neither padding nor FCS. */
export class NetClient {
  /** Frames as slots, without a copy. */
  readonly slots: NetSlots;
  /** Which frames it lets in. */
  readonly filter: NetFilter;
  /** How it spreads frames over its pairs of queues. */
  readonly steering: NetSteering;
  /** When it interrupts. */
  readonly coalescing: NetCoalescing;
  readonly #lanes: NetLanes;
  readonly #receiver: NetReceiver;
  readonly #frameSlots: FrameSlots;
  readonly #settings: Settings;
  readonly #frames = new News<Frame>("NetClient.frames", { capacity: FRAMES, keep: "oldest" });
  readonly #news = new News<NetChange>("NetClient.changes");
  readonly #properties: NetProperties;
  #offloads: NetOffloads;
  #mac: Uint8Array<ArrayBuffer>;
  /** Whether that is the application's choice, or this client's, which no driver changes. */
  #chosen = false;
  #link: boolean;
  #speed: number;
  #duplex: number;
  #unheard = 0;
  /** The frame that is being copied. */
  readonly #parts: Uint8Array<ArrayBuffer>[] = [];
  #about: About | undefined;
  #announced = -Infinity;
  #announcing: ReturnType<typeof setTimeout> | undefined;
  #gone = false;

  /** Makes the client of a card; for the class. */
  static open(lanes: NetLanes, properties: NetProperties): OpenClient<NetClient> {
    const client = new NetClient(lanes, properties);
    return {
      client,
      update: () => client.#update(),
      restarted: () => client.#restarted(),
      gone: () => client.#end(),
    };
  }

  private constructor(lanes: NetLanes, properties: NetProperties) {
    this.#lanes = lanes;
    this.#properties = properties;
    this.#offloads = offloadsOf(properties);
    this.#link = properties.link;
    this.#speed = properties.speed;
    this.#duplex = properties.duplex;
    this.#settings = new Settings(
      lanes.control,
      (lost) => this.#news.tell({ type: "restarted", lost }),
    );
    this.filter = new NetFilter(this.#settings);
    this.steering = new NetSteering(this.#settings, properties);
    this.coalescing = new NetCoalescing(this.#settings, properties);
    this.#receiver = new NetReceiver(lanes.receive, () => this.#deliver());
    this.#frameSlots = new FrameSlots(lanes.transmit, lanes.long);
    this.slots = new NetSlots(this.#frameSlots, lanes.transmit, lanes.receive, this.#receiver);
    this.#mac = parseMac(properties.mac) ?? this.#ownMac();
    listen(lanes.events, (slot) => this.#event(slot));
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

  /** Frames that came and were not read. */
  get unheard(): number {
    return this.#unheard;
  }

  /**
   * The frames that come from now on; each of several readers gets all of them. A frame whose checksum was left to us is
   * completed.
   *
   * @param capacity The most frames that wait for this reader, 1024 if left out; those that come then are dropped and counted.
   * @param signal Ends it; what waits can still be read.
   */
  frames(capacity?: number, signal?: AbortSignal): Feed<Frame> {
    return this.#frames.feed({ capacity, signal });
  }

  /** What changes from now on: the link, the place in the network, a device that was started anew, until the device is gone or `signal` is aborted. */
  changes(signal?: AbortSignal): Feed<NetChange> {
    return this.#news.feed({ signal });
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
    let slot = this.#slotFor(length);
    if (slot < 0) slot = await this.#frameSlots.taken(length, action);
    if (argument.isLost(own, length)) {
      this.slots.release(slot);
      throw argument.lostError(action);
    }
    const status = await new Promise<number>((resolve) => this.#submit(slot, own, how, resolve));
    if (status !== Status.ok) throw new RequestError(action, status);
  }

  /**
   * Sends a frame, if there is room at once. The caller does not hear whether it was sent.
   *
   * @returns Whether there was room.
   * @throws RangeError As {@linkcode send}.
   */
  trySend(frame: Uint8Array, offload?: TransmitOffload): boolean {
    const own = argument.bytes(frame, "NetClient.trySend", "frame");
    const action = `Cannot send a frame of ${own.length} bytes`;
    const how = this.#checkFrame("NetClient.trySend", action, own.length, offload);
    const slot = this.#slotFor(own.length);
    if (slot < 0) return false;
    this.#submit(slot, own, how, ignore);
    return true;
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
    await this.#settings.apply({ what, operation: NetOperation.macAddress, data, key: "mac" });
    this.#mac = data;
    this.#chosen = true;
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
    await this.#settings.apply({
      what: "switch offloads",
      operation: NetOperation.offloads,
      words: numbers(bits),
      key: "offloads",
    });
  }

  /** What the device has counted, summed up over its queues, under the names of the specification. */
  async deviceStatistics(): Promise<Readonly<Record<string, number>>> {
    const what = "ask for the device's statistics";
    const { data } = await this.#settings.apply({ what, operation: NetOperation.statistics });
    const words = answeredNumbers(data);
    if (words.length % 4 !== 0) throw new RequestError(`Cannot ${what}`, Status.invalid);
    const counts: Record<string, number> = {};
    for (let at = 0; at + 4 <= words.length; at += 4) {
      const name = NET_STATISTICS[words[at]!];
      if (name === undefined) continue;
      counts[name] = (counts[name] ?? 0) + words[at + 2]! + words[at + 3]! * 2 ** 32;
    }
    return counts;
  }

  /** A device without an address gets one of no maker's (5.1.4.2); a device that can be told is. */
  #ownMac(): Uint8Array<ArrayBuffer> {
    const mac = crypto.getRandomValues(new Uint8Array(MAC_BYTES));
    mac[0] = mac[0]! & 0xfc | 0x02;
    this.setMac(mac).catch(ignore);
    return mac;
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
    const longest = Math.min(most, this.slots.longest);
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

  /** A slot for a frame, if there is one and no frame waits: none overtakes another. */
  #slotFor(length: number): number {
    return this.#frameSlots.waiting > 0 ? -1 : this.#frameSlots.takeFor(length);
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

  /** Copies frames that are complete to their readers. */
  #deliver(): void {
    if (this.#frames.readers > 0) this.#receiver.drain(this.#copy);
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
    this.#frames.tell(frame, ({ bytes, ...more }) => ({ ...more, bytes: bytes.slice() }));
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
    this.#news.tell({ type: "link", up: link });
  }

  #update(): void {
    const { mac } = this.#properties;
    if (!this.#chosen) this.#mac = parseMac(mac) ?? this.#mac;
    this.#offloads = offloadsOf(this.#properties);
    this.#setLink(this.#properties);
  }

  #restarted(): void {
    this.#receiver.restarted();
    this.#settings.restarted();
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
    this.#news.tell({ type: "announce" });
    const what = "say that it was announced";
    this.#settings.apply({ what, operation: NetOperation.announced }).catch(ignore);
  }

  /** Nothing will come any more. */
  #end(): void {
    this.#gone = true;
    clearTimeout(this.#announcing);
    this.#frames.end();
    this.#news.end();
  }
}

/** What the driver says of a frame. */
interface About {
  readonly checksum: number;
  readonly place: number;
  readonly more: Omit<Frame, "bytes" | "checksum">;
}

const BROADCAST = new Uint8Array(MAC_BYTES).fill(0xff);
const RARP_TYPE = 0x8035;
const RARP_BYTES = 60;

/** A frame that only says where a station is: a request of the reverse address resolution (RFC 903). */
function rarp(mac: Uint8Array): Uint8Array {
  const frame = new Uint8Array(RARP_BYTES);
  frame.set(BROADCAST);
  frame.set(mac, 6);
  // Type; Ethernet and IPv4 addresses of 6 and 4 bytes; operation 3; sender and target: this station.
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
