// Messages of vfio-user: headers, requests and replies as bytes.

import {
  Command,
  type CommandName,
  commandName,
  HEADER_BYTES,
  HeaderFlag,
  MOST_BYTES,
  SetIrqs,
} from "./protocol.ts";
import { type Fields, type Structure, structure, type Values } from "./structure.ts";

/** The other side does not keep to the protocol. The message is a sentence, and says what and where. */
export class Malformed extends Error {
  /** Tells the error apart. */
  override readonly name = "Malformed";
}

/** What stands before each message. */
export interface Header {
  /** Names the message: its reply has the same. */
  readonly id: number;
  /** Its number, whether it is known or not. */
  readonly command: number;
  /** Bytes of the whole message. */
  readonly size: number;
  /** Whether it is the reply to one. */
  readonly isReply: boolean;
  /** Of a command: whether its sender waits for a reply. */
  readonly wantsReply: boolean;
  /** Of a reply: the error number; 0 if all went well. */
  readonly error: number;
}

const HEADER = structure({ id: 2, command: 2, size: 4, flags: 4, error: 4 });

/** Writes a header to the start of `into`. */
export function encodeHeader(
  { id, command, size, isReply, wantsReply, error }: Header,
  into: Uint8Array,
): void {
  const flags = (isReply ? HeaderFlag.REPLY : HeaderFlag.COMMAND) |
    (isReply || wantsReply ? 0 : HeaderFlag.NO_REPLY) | (error === 0 ? 0 : HeaderFlag.ERROR);
  HEADER.encode({ id, command, size, flags, error }, into);
}

/**
 * Reads a header.
 *
 * @throws {Malformed} If it can be of no message.
 */
export function decodeHeader(from: Uint8Array): Header {
  const { id, command, size, flags, error } = HEADER.decode(from);
  const name = `The header of message ${id}, ${commandName(command) ?? `command ${command}`},`;
  if (size < HEADER_BYTES || size > MOST_BYTES) {
    throw new Malformed(
      `${name} says that it has ${size} bytes: it may have ${HEADER_BYTES} to ${MOST_BYTES}`,
    );
  }
  const type = flags & HeaderFlag.TYPE;
  if (type !== HeaderFlag.COMMAND && type !== HeaderFlag.REPLY) {
    throw new Malformed(`${name} is of type ${type}: it is a command (0) or a reply (1)`);
  }
  const isReply = type === HeaderFlag.REPLY;
  return {
    id,
    command,
    size,
    isReply,
    wantsReply: !isReply && !(flags & HeaderFlag.NO_REPLY),
    error: isReply && flags & HeaderFlag.ERROR ? error : 0,
  };
}

/** What follows a header: fields, and behind them bytes, if there may be any. */
interface Shape<F extends Fields> {
  readonly fields: Structure<F>;
  readonly hasData: boolean;
}

/** One of any fields. */
interface AnyShape {
  readonly fields: {
    readonly bytes: number;
    encode(values: object, into: Uint8Array): void;
    decode(from: Uint8Array): object;
  };
  readonly hasData: boolean;
}

/** Fields alone. */
function plain<const F extends Fields>(fields: F): Shape<F> & { readonly hasData: false } {
  return { fields: structure(fields), hasData: false };
}

/** Fields and bytes. */
function withData<const F extends Fields>(fields: F): Shape<F> & { readonly hasData: true } {
  return { fields: structure(fields), hasData: true };
}

const NOTHING = plain({});
const RANGE = { argsz: 4, flags: 4, address: 8, size: 8 } as const;
const ACCESS = { offset: 8, region: 4, count: 4 } as const;
const REGION_INFO = { argsz: 4, flags: 4, index: 4, capOffset: 4, size: 8, offset: 8 } as const;
const COUNTED = { argsz: 4, flags: 4, index: 4, count: 4 } as const;

/** What clients ask. `argsz` is how many bytes the reply may have, behind its header. */
const REQUESTS = {
  VERSION: withData({ major: 2, minor: 2 }),
  DMA_MAP: plain({ argsz: 4, flags: 4, offset: 8, address: 8, size: 8 }),
  DMA_UNMAP: plain(RANGE),
  DEVICE_GET_INFO: plain({ argsz: 4, flags: 4, regions: 4, irqs: 4 }),
  DEVICE_GET_REGION_INFO: plain(REGION_INFO),
  DEVICE_GET_REGION_IO_FDS: plain(COUNTED),
  DEVICE_GET_IRQ_INFO: plain(COUNTED),
  DEVICE_SET_IRQS: withData({ argsz: 4, flags: 4, index: 4, start: 4, count: 4 }),
  REGION_READ: plain(ACCESS),
  REGION_WRITE: withData(ACCESS),
  DEVICE_RESET: NOTHING,
  REGION_WRITE_MULTI: withData({ count: 8 }),
} as const;

/** What servers answer. */
const REPLIES = {
  VERSION: withData({ major: 2, minor: 2 }),
  DMA_MAP: NOTHING,
  DMA_UNMAP: plain(RANGE),
  DEVICE_GET_INFO: plain({ argsz: 4, flags: 4, regions: 4, irqs: 4 }),
  DEVICE_GET_REGION_INFO: plain(REGION_INFO),
  DEVICE_GET_REGION_IO_FDS: plain(COUNTED),
  DEVICE_GET_IRQ_INFO: plain(COUNTED),
  DEVICE_SET_IRQS: NOTHING,
  REGION_READ: withData(ACCESS),
  REGION_WRITE: plain(ACCESS),
  DEVICE_RESET: NOTHING,
  REGION_WRITE_MULTI: NOTHING,
} as const;

/** The commands that clients give. */
export type RequestName = keyof typeof REQUESTS;

/** All of them. */
export const REQUEST_NAMES: readonly RequestName[] = Object.keys(REQUESTS) as RequestName[];

type Payload<S> = S extends { fields: Structure<infer F>; hasData: infer D }
  ? Values<F> & (D extends true ? { readonly data: Uint8Array } : unknown)
  : never;
type Messages<Shapes extends Readonly<Record<string, AnyShape>>> = {
  [Name in keyof Shapes]: { readonly command: Name } & Payload<Shapes[Name]>;
};

/** What a client asks, as plain data. */
export type Request<Name extends RequestName = RequestName> = Messages<typeof REQUESTS>[Name];
/** What a server answers when it did what was asked. */
export type Reply<Name extends RequestName = RequestName> = Messages<typeof REPLIES>[Name];

/** A whole message with a request. */
export function encodeRequest(
  id: number,
  request: Request,
  wantsReply = true,
): Uint8Array<ArrayBuffer> {
  return encode(REQUESTS[request.command], request, { id, isReply: false, wantsReply });
}

/** A whole message with a reply. */
export function encodeReply(id: number, reply: Reply): Uint8Array<ArrayBuffer> {
  return encode(REPLIES[reply.command], reply, { id, isReply: true, wantsReply: false });
}

/** The reply to a command that was not carried out: a header alone. */
export function encodeError(id: number, command: number, error: number): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEADER_BYTES);
  const size = HEADER_BYTES;
  encodeHeader({ id, command, size, isReply: true, wantsReply: false, error }, message);
  return message;
}

/**
 * Reads what follows the header of a command.
 *
 * @returns What is asked; undefined if it is a command that the protocol has, and clients do not give here.
 * @throws {Malformed} If it is none, or its size is wrong.
 */
export function decodeRequest(header: Header, payload: Uint8Array): Request | undefined {
  const name = commandName(header.command);
  if (name === undefined) throw new Malformed(`Command ${header.command} is unknown`);
  return name in REQUESTS ? decode(REQUESTS, name as RequestName, payload) : undefined;
}

/**
 * Reads what follows the header of a reply without an error.
 *
 * @throws {Malformed} If its size is wrong, or there is no such reply.
 */
export function decodeReply(header: Header, payload: Uint8Array): Reply {
  const name = commandName(header.command);
  if (name === undefined || !(name in REPLIES)) {
    throw new Malformed(`There is no reply to command ${header.command}`);
  }
  return decode(REPLIES, name as RequestName, payload);
}

function encode(
  { fields, hasData }: AnyShape,
  message: Request | Reply,
  header: Pick<Header, "id" | "isReply" | "wantsReply">,
): Uint8Array<ArrayBuffer> {
  const data = hasData ? (message as { readonly data: Uint8Array }).data : new Uint8Array();
  const size = HEADER_BYTES + fields.bytes + data.length;
  const bytes = new Uint8Array(size);
  encodeHeader({ ...header, command: Command[message.command], size, error: 0 }, bytes);
  fields.encode(message, bytes.subarray(HEADER_BYTES));
  bytes.set(data, HEADER_BYTES + fields.bytes);
  return bytes;
}

function decode<M>(
  shapes: Readonly<Record<string, AnyShape>>,
  command: RequestName,
  payload: Uint8Array,
): M {
  const { fields, hasData } = shapes[command]!;
  const enough = hasData ? payload.length >= fields.bytes : payload.length === fields.bytes;
  if (!enough) throw wrongSize(command, payload.length, fields.bytes, hasData);
  const message = {
    command,
    ...fields.decode(payload),
    ...(hasData ? { data: payload.slice(fields.bytes) } : {}),
  };
  if (hasData) checkData(message as Request, payload.length - fields.bytes);
  return message as M;
}

/** Bytes of each write of REGION_WRITE_MULTI: offset, region, count and eight bytes of data. */
export const MULTI_BYTES = 24;

/** Throws unless there is as much data as the fields say. */
function checkData(message: Request, has: number): void {
  const { command } = message;
  let wanted: number | bigint = has;
  if (command === "REGION_READ" || command === "REGION_WRITE") wanted = message.count;
  else if (command === "REGION_WRITE_MULTI") wanted = message.count * BigInt(MULTI_BYTES);
  else if (command === "DEVICE_SET_IRQS") wanted = message.flags & SetIrqs.BOOL ? message.count : 0;
  if (BigInt(has) === BigInt(wanted)) return;
  throw new Malformed(`${command} has ${has} bytes of data where its fields say ${wanted}`);
}

function wrongSize(command: CommandName, has: number, fields: number, more: boolean): Malformed {
  return new Malformed(
    `${command} has ${has} bytes: it has ${more ? "at least " : ""}${fields} behind its header`,
  );
}
