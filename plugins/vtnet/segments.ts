import * as wire from "./wire.ts";

/** What a header says about how to finish a frame (virtio 1.4, 5.1.9.2). */
export interface Work {
  /** A `HDR_F_`. */
  readonly flags: number;
  /** A `GSO_`. */
  readonly gsoType: number;
  /** Bytes of data in a segment. */
  readonly gsoSize: number;
  /** First byte that the checksum is of. */
  readonly start: number;
  /** Where it goes, from there. */
  readonly offset: number;
}

const IP4_HEADER = 14, IP6_HEADER = 14;

/** Does to a frame what its header wants: the frames that go on the wire. */
export function finish(frame: Uint8Array<ArrayBuffer>, work: Work): Uint8Array<ArrayBuffer>[] {
  const type = work.gsoType & ~wire.GSO_ECN;
  if (type === wire.GSO_NONE) {
    if (work.flags & wire.HDR_F_NEEDS_CSUM) fill(frame, work.start, work.offset);
    return [frame];
  }
  const tcp = type === wire.GSO_TCPV4 || type === wire.GSO_TCPV6;
  const ip4 = (frame[12]! << 8 | frame[13]!) === 0x0800;
  const headers = work.start + (tcp ? (frame[work.start + 12]! >> 4) * 4 : 8);
  const segments: Uint8Array<ArrayBuffer>[] = [];
  for (let at = headers; at < frame.length; at += work.gsoSize) {
    const end = Math.min(at + work.gsoSize, frame.length);
    const segment = new Uint8Array(headers + end - at);
    segment.set(frame.subarray(0, headers));
    segment.set(frame.subarray(at, end), headers);
    const nth = segments.length;
    if (ip4) finishIp4(segment, nth);
    else put(segment, IP6_HEADER + 4, segment.length - IP6_HEADER - 40);
    const last = end === frame.length;
    if (tcp) finishTcp(segment, work.start, at - headers, last);
    else put(segment, work.start + 4, segment.length - work.start);
    sumUp(segment, work, ip4, tcp ? 6 : 17);
    segments.push(segment);
  }
  return segments;
}

function finishIp4(segment: Uint8Array, nth: number): void {
  put(segment, IP4_HEADER + 2, segment.length - IP4_HEADER);
  put(segment, IP4_HEADER + 4, (get(segment, IP4_HEADER + 4) + nth) & 0xffff);
  put(segment, IP4_HEADER + 10, 0);
  const header = segment.subarray(IP4_HEADER, IP4_HEADER + (segment[IP4_HEADER]! & 15) * 4);
  put(segment, IP4_HEADER + 10, complement(header));
}

/** Sequence number; FIN and PSH only in the last one. */
function finishTcp(segment: Uint8Array, start: number, done: number, last: boolean): void {
  const sequence = (get(segment, start + 4) * 0x10000 + get(segment, start + 6) + done) % 2 ** 32;
  put(segment, start + 4, Math.floor(sequence / 0x10000));
  put(segment, start + 6, sequence % 0x10000);
  if (!last) segment[start + 13]! &= ~0x09;
}

/** The whole checksum of TCP or UDP: the frame's sum of the pseudo header counts all data, not those of a segment. */
function sumUp(segment: Uint8Array, { start, offset }: Work, ip4: boolean, protocol: number): void {
  const addresses = ip4
    ? segment.subarray(IP4_HEADER + 12, IP4_HEADER + 20)
    : segment.subarray(IP6_HEADER + 8, IP6_HEADER + 40);
  const pseudo = sum(addresses) + protocol + segment.length - start;
  put(segment, start + offset, 0);
  put(segment, start + offset, complement(segment.subarray(start), pseudo) || 0xffff);
}

function fill(frame: Uint8Array, start: number, offset: number): void {
  put(frame, start + offset, complement(frame.subarray(start)) || 0xffff);
}

/** The complement of a sum (RFC 1071). */
export function complement(bytes: Uint8Array, more = 0): number {
  let total = sum(bytes) + more;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}

function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes[i]! << 8 | (bytes[i + 1] ?? 0);
  return total;
}

function get(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function put(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}
