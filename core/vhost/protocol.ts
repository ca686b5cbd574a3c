/**
 * The vhost-user protocol by its own names (QEMU, docs/interop/vhost-user.rst): which messages there are, what each
 * carries and what answers it. Both sides use the same table.
 *
 * @module
 */

import {
  CONFIG,
  CONFIG_OR_NOTHING,
  type ConfigPart,
  IN_FLIGHT,
  MEMORY_TABLE,
  type MemoryRegion,
  NOTHING,
  type Payload,
  REGION,
  RING_ADDRESSES,
  RING_DESCRIPTOR,
  RING_STATE,
  type RingDescriptor,
  U64,
} from "./payload.ts";

/** One kind of message. */
export interface Kind<Body, Answer> {
  /** Its number. */
  readonly number: number;
  /** What it carries. */
  readonly body: Payload<Body>;
  /** What answers it; undefined if nothing does, unless that is asked for. */
  readonly answer: Payload<Answer> | undefined;
  /** How many descriptors come with it, least and most. */
  readonly descriptors: (body: Body) => readonly [least: number, most: number];
  /** How many come with its answer. */
  readonly answerDescriptors: number;
}

/** A message that is answered if the sender asks for it. */
function tell<Body>(
  number: number,
  body: Payload<Body>,
  descriptors: (body: Body) => readonly [number, number] = () => [0, 0],
): Kind<Body, never> {
  return { number, body, answer: undefined, descriptors, answerDescriptors: 0 };
}

/** A message that is a question. */
function ask<Body, Answer>(
  number: number,
  body: Payload<Body>,
  answer: Payload<Answer>,
  answerDescriptors = 0,
): Kind<Body, Answer> & { readonly answer: Payload<Answer> } {
  return { number, body, answer, descriptors: () => [0, 0], answerDescriptors };
}

const one = (): readonly [number, number] => [1, 1];
const forRing = ({ none }: RingDescriptor): readonly [number, number] => none ? [0, 0] : [1, 1];
const forEach = (regions: readonly MemoryRegion[]): readonly [number, number] => [
  regions.length,
  regions.length,
];

/** What a front-end sends: the machine of a guest, or a driver. */
export const FRONT_END = {
  GET_FEATURES: ask(1, NOTHING, U64),
  SET_FEATURES: tell(2, U64),
  SET_OWNER: tell(3, NOTHING),
  RESET_OWNER: tell(4, NOTHING),
  SET_MEM_TABLE: tell(5, MEMORY_TABLE, forEach),
  SET_VRING_NUM: tell(8, RING_STATE),
  SET_VRING_ADDR: tell(9, RING_ADDRESSES),
  SET_VRING_BASE: tell(10, RING_STATE),
  GET_VRING_BASE: ask(11, RING_STATE, RING_STATE),
  SET_VRING_KICK: tell(12, RING_DESCRIPTOR, forRing),
  SET_VRING_CALL: tell(13, RING_DESCRIPTOR, forRing),
  SET_VRING_ERR: tell(14, RING_DESCRIPTOR, forRing),
  GET_PROTOCOL_FEATURES: ask(15, NOTHING, U64),
  SET_PROTOCOL_FEATURES: tell(16, U64),
  GET_QUEUE_NUM: ask(17, NOTHING, U64),
  SET_VRING_ENABLE: tell(18, RING_STATE),
  NET_SET_MTU: tell(20, U64),
  SET_BACKEND_REQ_FD: tell(21, NOTHING, one),
  GET_CONFIG: ask<ConfigPart, ConfigPart | undefined>(24, CONFIG, CONFIG_OR_NOTHING),
  SET_CONFIG: tell(25, CONFIG),
  GET_INFLIGHT_FD: ask(31, IN_FLIGHT, IN_FLIGHT, 1),
  SET_INFLIGHT_FD: tell(32, IN_FLIGHT, one),
  RESET_DEVICE: tell(34, NOTHING),
  GET_MAX_MEM_SLOTS: ask(36, NOTHING, U64),
  ADD_MEM_REG: tell(37, REGION, one),
  /** Some send a descriptor along, which means nothing. */
  REM_MEM_REG: tell(38, REGION, () => [0, 1]),
  SET_STATUS: tell(39, U64),
  GET_STATUS: ask(40, NOTHING, U64),
} as const;

/** What a back-end sends by itself, over the socket that {@linkcode FRONT_END.SET_BACKEND_REQ_FD} brought. */
export const BACK_END = {
  CONFIG_CHANGE_MSG: tell(2, NOTHING),
} as const;

/** The messages of one side, by name. */
// deno-lint-ignore no-explicit-any
export type Kinds = Readonly<Record<string, Kind<any, any>>>;

/** What a kind of message carries. */
export type BodyOf<K> = K extends Kind<infer Body, infer _> ? Body : never;
/** What answers it. */
export type AnswerOf<K> = K extends Kind<infer _, infer Answer> ? Answer : never;

/** A message, as data. */
export type Message<Of extends Kinds> = {
  [Name in keyof Of & string]: {
    readonly name: Name;
    readonly body: BodyOf<Of[Name]>;
    /** Whether the sender waits for an answer, to a message that has none of its own. */
    readonly needReply: boolean;
    /** The descriptors that came with it. */
    readonly descriptors: readonly number[];
  };
}[keyof Of & string];

/** Bits of the features that both sides speak of: those of the device, and this. */
export const F_PROTOCOL_FEATURES: bigint = 1n << 30n;

/** Protocol features (docs/interop/vhost-user.rst, "Protocol features"), by bits. */
export const ProtocolFeature = {
  MQ: 0,
  LOG_SHMFD: 1,
  RARP: 2,
  REPLY_ACK: 3,
  MTU: 4,
  BACKEND_REQ: 5,
  CROSS_ENDIAN: 6,
  CRYPTO_SESSION: 7,
  PAGEFAULT: 8,
  CONFIG: 9,
  BACKEND_SEND_FD: 10,
  HOST_NOTIFIER: 11,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  INBAND_NOTIFICATIONS: 14,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
} as const;

/** A set of protocol features. */
export function protocolFeatures(...names: readonly (keyof typeof ProtocolFeature)[]): bigint {
  return names.reduce((bits, name) => bits | 1n << BigInt(ProtocolFeature[name]), 0n);
}
