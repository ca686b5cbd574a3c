/**
 * Captures as pcapng blocks (IETF draft-ietf-opsawg-pcapng), little-endian, of one Ethernet interface.
 *
 * @module
 */
import { concat } from "./bytes.ts";

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;

const BYTE_ORDER = 0x1a2b3c4d;
const LINK_ETHERNET = 1;
/** Times are in nanoseconds: ten to the power of minus this. */
const RESOLUTION = 9;
const INBOUND = 1;
/** Where a packet's data begin in its block, and what follows them: an option, the end of the options, the length. */
const PACKET_DATA = 28;
const PACKET_END = 16;

/** The interface that frames come from. */
export interface CapturedInterface {
  readonly name: string;
  readonly description: string;
  readonly mac: Uint8Array;
  /** Bits a second, if known. */
  readonly speed?: number;
  /** Most bytes kept of a frame. */
  readonly snapLength: number;
}

/** How a capture went. */
export interface CaptureStatistics {
  /** Milliseconds since 1970. */
  readonly start: number;
  /** The same, at its end. */
  readonly end: number;
  /** Frames that came in. */
  readonly received: number;
  /** Frames of these that are not in the capture. */
  readonly dropped: number;
}

/** Begins a file. */
export function sectionHeader(application: string): Uint8Array<ArrayBuffer> {
  // Version 1.0, of a length that is not known yet.
  const body = [...le32(BYTE_ORDER), 1, 0, 0, 0, ...le32(0xffffffff), ...le32(0xffffffff)];
  return block(SECTION_HEADER, body, options([4, text(application)]));
}

/** Says where frames come from. */
export function interfaceDescription(
  { name, description, mac, speed, snapLength }: CapturedInterface,
): Uint8Array<ArrayBuffer> {
  return block(
    INTERFACE_DESCRIPTION,
    [LINK_ETHERNET, 0, 0, 0, ...le32(snapLength)],
    options(
      [2, text(name)],
      [3, text(description)],
      [6, mac],
      ...(speed === undefined ? [] : [[8, le64(speed)] as const]),
      [9, [RESOLUTION]],
    ),
  );
}

/**
 * One frame.
 *
 * @param time Milliseconds since 1970.
 * @param snapLength Most bytes to keep of it.
 */
export function enhancedPacket(
  time: number,
  frame: Uint8Array,
  snapLength: number,
): Uint8Array<ArrayBuffer> {
  const kept = frame.length > snapLength ? frame.subarray(0, snapLength) : frame;
  const end = PACKET_DATA + wholeWords(kept.length);
  // In one piece: there may be many of these.
  const bytes = new Uint8Array(end + PACKET_END);
  const view = new DataView(bytes.buffer);
  const word = (at: number, value: number) => view.setUint32(at, value, true);
  const nanoseconds = time * 1e6;
  word(0, ENHANCED_PACKET);
  word(4, bytes.length);
  word(12, Math.floor(nanoseconds / 2 ** 32));
  word(16, nanoseconds % 2 ** 32);
  word(20, kept.length);
  word(24, frame.length);
  bytes.set(kept, PACKET_DATA);
  word(end, 2 | 4 << 16); // an option of four bytes: flags
  word(end + 4, INBOUND);
  word(end + 12, bytes.length);
  return bytes;
}

/** Ends a capture: how many frames it has, and how many it should have. */
export function interfaceStatistics(
  { start, end, received, dropped }: CaptureStatistics,
): Uint8Array<ArrayBuffer> {
  return block(
    INTERFACE_STATISTICS,
    [...le32(0), ...timestamp(end)],
    options(
      [2, timestamp(start)],
      [3, timestamp(end)],
      [4, le64(received)],
      [5, le64(dropped)],
      [8, le64(received - dropped)],
    ),
  );
}

type Bytes = ArrayLike<number>;

function block(type: number, ...body: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  const length = le32(12 + body.reduce((sum, part) => sum + part.length, 0));
  return concat(le32(type), length, ...body, length);
}

function options(...list: readonly (readonly [code: number, value: Bytes])[]): Bytes {
  const parts = list.map(([code, value]) =>
    concat([code, 0, value.length & 0xff, value.length >> 8], padded(value))
  );
  return concat(...parts, [0, 0, 0, 0]);
}

/** Bytes and as many zeros as make them whole words. */
function padded(bytes: Bytes): Bytes {
  return concat(bytes, new Uint8Array(wholeWords(bytes.length) - bytes.length));
}

function wholeWords(bytes: number): number {
  return bytes + 3 & ~3;
}

function text(value: string): Bytes {
  return new TextEncoder().encode(value);
}

function le32(value: number): readonly number[] {
  return [value & 0xff, value >>> 8 & 0xff, value >>> 16 & 0xff, value >>> 24];
}

function le64(value: number): readonly number[] {
  return [...le32(value % 2 ** 32), ...le32(Math.floor(value / 2 ** 32))];
}

/** Nanoseconds of a time in milliseconds, its upper half first. */
function timestamp(time: number): readonly number[] {
  const nanoseconds = time * 1e6;
  return [...le32(Math.floor(nanoseconds / 2 ** 32)), ...le32(nanoseconds % 2 ** 32)];
}
