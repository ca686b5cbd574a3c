import { complement } from "./segments.ts";

/** Bytes of an address, of the machine and of the network. */
const MAC = 6, IP = 4;
const ARP = 0x0806, IPV4 = 0x0800;
/** Where the parts of a frame begin. */
const ETHER = 14, HEADER = 20, UDP = 8;
const ICMP_PROTOCOL = 1, UDP_PROTOCOL = 17;
const SERVER_PORT = 67, CLIENT_PORT = 68;
/** Of a message of DHCP (RFC 2131): fixed fields, then a cookie, then options. */
const DHCP_FIXED = 236;
const COOKIE = [0x63, 0x82, 0x53, 0x63];
const Message = { discover: 1, offer: 2, request: 3, ack: 5 } as const;
const Option = {
  mask: 1,
  router: 3,
  address: 50,
  lease: 51,
  type: 53,
  server: 54,
  end: 255,
} as const;

/** What a station is. */
export interface StationOptions {
  /** Its address on the wire; `52:55:0a:00:02:02` if left out. */
  readonly mac?: readonly number[];
  /** Its address in the network; 10.0.2.2 if left out. */
  readonly ip?: readonly number[];
  /** The address that it gives to clients that ask for one; 10.0.2.15 if left out. */
  readonly lease?: readonly number[];
}

/**
 * A station at the other end of a wire, for tests and first steps: it says where it is (ARP), answers pings (ICMP), and
 * gives an address to clients that ask for one (DHCP), as QEMU's user network does.
 */
export class Station {
  readonly #mac: readonly number[];
  readonly #ip: readonly number[];
  readonly #lease: readonly number[];

  /** Makes the station. */
  constructor(options: StationOptions = {}) {
    this.#mac = options.mac ?? [0x52, 0x55, 10, 0, 2, 2];
    this.#ip = options.ip ?? [10, 0, 2, 2];
    this.#lease = options.lease ?? [10, 0, 2, 15];
  }

  /** What it answers to a frame; nothing to most. */
  answer(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    if (frame.length < ETHER + HEADER) return undefined;
    const type = word(frame, 12);
    if (type === ARP) return this.#arp(frame);
    if (type !== IPV4 || (frame[ETHER]! & 15) * 4 !== HEADER) return undefined;
    const protocol = frame[ETHER + 9];
    if (protocol === ICMP_PROTOCOL && same(frame, ETHER + 16, this.#ip)) return this.#echo(frame);
    return protocol === UDP_PROTOCOL ? this.#dhcp(frame) : undefined;
  }

  #arp(frame: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const wanted = frame.length >= ETHER + 28 && word(frame, ETHER + 6) === 1 &&
      same(frame, ETHER + 24, this.#ip);
    if (!wanted) return undefined;
    const reply = Uint8Array.from(frame.subarray(0, ETHER + 28));
    reply.set(frame.subarray(6, 6 + MAC));
    reply.set(this.#mac, 6);
    reply[ETHER + 7] = 2;
    reply.set([...this.#mac, ...this.#ip], ETHER + 8);
    reply.set(frame.subarray(ETHER + 8, ETHER + 8 + MAC + IP), ETHER + 18);
    return reply;
  }

  #echo(frame: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const at = ETHER + HEADER;
    if (frame[at] !== 8) return undefined;
    const reply = Uint8Array.from(frame.subarray(0, ETHER + word(frame, ETHER + 2)));
    this.#turn(frame, reply);
    reply[at] = 0;
    reply.set([0, 0], at + 2);
    putWord(reply, at + 2, complement(reply.subarray(at)));
    return reply;
  }

  /** Addresses the other way round, and the sum of the IP header. */
  #turn(frame: Uint8Array, reply: Uint8Array): void {
    reply.set(frame.subarray(6, 6 + MAC));
    reply.set(this.#mac, 6);
    reply.set(this.#ip, ETHER + 12);
    reply.set(frame.subarray(ETHER + 12, ETHER + 12 + IP), ETHER + 16);
    sumHeader(reply);
  }

  #dhcp(frame: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const at = ETHER + HEADER + UDP;
    if (word(frame, ETHER + HEADER + 2) !== SERVER_PORT || frame[at] !== 1) return undefined;
    const asked = option(frame, at + DHCP_FIXED + COOKIE.length, Option.type);
    const type = asked === Message.discover
      ? Message.offer
      : asked === Message.request
      ? Message.ack
      : undefined;
    if (type === undefined) return undefined;
    const options = Uint8Array.from([
      ...COOKIE,
      ...[Option.type, 1, type],
      ...[Option.server, IP, ...this.#ip],
      ...[Option.lease, 4, 0, 1, 0x51, 0x80],
      ...[Option.mask, IP, 255, 255, 255, 0],
      ...[Option.router, IP, ...this.#ip],
      Option.end,
    ]);
    const reply = new Uint8Array(at + DHCP_FIXED + options.length);
    reply.fill(0xff, 0, MAC);
    reply.set([...this.#mac, IPV4 >> 8, IPV4 & 0xff, 0x45], MAC);
    putWord(reply, ETHER + 2, reply.length - ETHER);
    reply.set([64, UDP_PROTOCOL], ETHER + 8);
    reply.set([...this.#ip, 255, 255, 255, 255], ETHER + 12);
    sumHeader(reply);
    // A checksum of zero: none was made.
    putWord(reply, ETHER + HEADER, SERVER_PORT);
    putWord(reply, ETHER + HEADER + 2, CLIENT_PORT);
    putWord(reply, ETHER + HEADER + 4, reply.length - ETHER - HEADER);
    reply.set(frame.subarray(at, at + 44), at);
    reply[at] = 2;
    reply.set(this.#lease, at + 16);
    reply.set(this.#ip, at + 20);
    reply.set(options, at + DHCP_FIXED);
    return reply;
  }
}

function option(bytes: Uint8Array, from: number, wanted: number): number | undefined {
  for (let at = from; at + 2 < bytes.length && bytes[at] !== Option.end;) {
    if (bytes[at] === 0) at++;
    else if (bytes[at] === wanted) return bytes[at + 2];
    else at += 2 + bytes[at + 1]!;
  }
  return undefined;
}

function sumHeader(frame: Uint8Array): void {
  frame.set([0, 0], ETHER + 10);
  putWord(frame, ETHER + 10, complement(frame.subarray(ETHER, ETHER + HEADER)));
}

function same(bytes: Uint8Array, at: number, wanted: readonly number[]): boolean {
  return wanted.every((byte, i) => bytes[at + i] === byte);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}
