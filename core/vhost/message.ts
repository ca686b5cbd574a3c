// Messages of vhost-user as bytes.

import { VhostFault } from "./fault.ts";
import type { Payload } from "./payload.ts";
import type { Kind, Kinds, Message } from "./protocol.ts";

/** Bytes in front of each payload: request, flags and size, 32 bits each. */
export const HEADER_BYTES = 12;
/** The most descriptors that come with a message. */
export const MOST_DESCRIPTORS = 8;

const VERSION = 1;
const VERSION_MASK = 0x3;
const REPLY = 0x4;
const NEED_REPLY = 0x8;

/** A message taken off the wire: what the header says, and as many bytes as it says. */
export interface Frame<Name extends string = string> {
  /** The name of its kind. */
  readonly name: Name;
  /** Whether the sender waits for an answer. */
  readonly needReply: boolean;
  /** Its payload. */
  readonly payload: DataView<ArrayBuffer>;
  /** The descriptors that came with it. */
  readonly descriptors: readonly number[];
}

function bytesOf(number: number, flags: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  new Uint32Array(bytes.buffer, 0, 3).set([number, VERSION | flags, payload.length]);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** The bytes of a message. */
export function encodeMessage<Body>(
  kind: Kind<Body, unknown>,
  body: Body,
  needReply = false,
): Uint8Array<ArrayBuffer> {
  return bytesOf(kind.number, needReply ? NEED_REPLY : 0, kind.body.encode(body));
}

/** A kind of message that is answered. */
export interface Question<Answer>
  extends Pick<Kind<never, Answer>, "number" | "answerDescriptors"> {
  /** The payload of its answer. */
  readonly answer: Payload<Answer>;
}

/** The bytes of an answer to a question. */
export function encodeAnswer<Answer>(
  kind: Question<Answer>,
  answer: Answer,
): Uint8Array<ArrayBuffer> {
  return bytesOf(kind.number, REPLY, kind.answer.encode(answer));
}

/** The bytes of an answer to what is no question: 0 is "done", anything else "not done". */
export function encodeAcknowledgement(
  { number }: Pick<Kind<never, unknown>, "number">,
  result: bigint,
): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(8);
  new DataView(payload.buffer).setBigUint64(0, result, true);
  return bytesOf(number, REPLY, payload);
}

/**
 * Takes a message apart.
 *
 * @throws {VhostFault} If its payload contradicts itself, or descriptors are missing or too many. They stay the
 * caller's.
 */
export function decodeMessage<Of extends Kinds>(kinds: Of, frame: Frame): Message<Of> {
  const kind = kinds[frame.name]!;
  const body = named(frame.name, () => kind.body.decode(frame.payload));
  const [least, most] = kind.descriptors(body);
  checkDescriptors(frame, least, most);
  const { name, needReply, descriptors } = frame;
  return { name, body, needReply, descriptors } as Message<Of>;
}

/** Takes an answer apart, likewise. */
export function decodeAnswer<Answer>(
  kind: Question<Answer>,
  frame: Frame,
): Answer {
  checkDescriptors(frame, 0, kind.answerDescriptors);
  return named(frame.name, () => kind.answer.decode(frame.payload));
}

/** The result in an answer to what is no question: 0 is "done". */
export function decodeAcknowledgement(frame: Frame): bigint {
  checkDescriptors(frame, 0, 0);
  return frame.payload.getBigUint64(0, true);
}

function checkDescriptors({ name, descriptors }: Frame, least: number, most: number): void {
  const { length } = descriptors;
  if (length >= least && length <= most) return;
  const wanted = most === 0 ? "none" : least === most ? least : `${least} to ${most}`;
  throw new VhostFault(`${name} came with ${length} descriptors instead of ${wanted}`);
}

function named<T>(name: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof VhostFault) throw new VhostFault(`${name} is wrong: ${error.message}`);
    throw error;
  }
}

/** What a header may announce: by the number, the name of the kind and the payload that it has. */
interface Announced {
  readonly name: string;
  readonly payload: Pick<Payload<unknown>, "fits" | "sizes">;
}

/**
 * Cuts a stream into messages. It says how many bytes to receive, never more than belong to the message that is
 * coming, so that descriptors are those of the message with which they came; and holds never more than one of them.
 */
export class Framing<Of extends Kinds> {
  /** Descriptors that came with the message that is coming: a reader that gives up on it closes them. */
  readonly descriptors: number[] = [];
  readonly #announced = new Map<number, Announced>();
  readonly #flag: number;
  readonly #header = new Uint32Array(HEADER_BYTES / 4);
  /** What is being filled, the header or a payload, and how far it is. */
  #filling: Uint8Array<ArrayBuffer>;
  #filled = 0;
  #coming: string | undefined;

  /**
   * Begins at the begin of a message.
   *
   * @param what Whether messages of this table come, or answers to them.
   */
  constructor(kinds: Of, what: "messages" | "answers") {
    this.#filling = new Uint8Array(this.#header.buffer);
    this.#flag = what === "answers" ? REPLY : 0;
    for (const [name, { number, body, answer }] of Object.entries(kinds)) {
      const acknowledgement = { sizes: "8 bytes", fits: (bytes: number) => bytes === 8 };
      const payload = what === "messages" ? body : answer ?? acknowledgement;
      this.#announced.set(number, { name, payload });
    }
  }

  /** Whether a part of a message has come, and the rest has not. */
  get inside(): boolean {
    return this.#coming !== undefined || this.#filled > 0;
  }

  /** Where the next bytes go. It is never empty. */
  get room(): Uint8Array<ArrayBuffer> {
    return this.#filled === 0 ? this.#filling : this.#filling.subarray(this.#filled);
  }

  /** How many descriptors may come with them. */
  get mostDescriptors(): number {
    return MOST_DESCRIPTORS - this.descriptors.length;
  }

  /**
   * So many bytes were put into {@linkcode room}, and descriptors that came with them into {@linkcode descriptors}.
   *
   * @returns The message, once it is complete; its descriptors are the caller's then.
   * @throws {VhostFault} If its header is none.
   */
  received(bytes: number): Frame<keyof Of & string> | undefined {
    this.#filled += bytes;
    if (this.#filled < this.#filling.length) return undefined;
    this.#filled = 0;
    if (this.#coming === undefined) {
      const { name, payload: { fits, sizes } } = this.#announce();
      const size = this.#header[2]!;
      if (!fits(size)) {
        throw new VhostFault(`${name} has a payload of ${size} bytes: it has ${sizes}`);
      }
      this.#coming = name;
      this.#filling = new Uint8Array(size);
      if (size > 0) return undefined;
    }
    const frame = {
      name: this.#coming,
      needReply: (this.#header[1]! & NEED_REPLY) !== 0,
      payload: new DataView(this.#filling.buffer),
      descriptors: this.descriptors.splice(0),
    };
    this.#coming = undefined;
    this.#filling = new Uint8Array(this.#header.buffer);
    return frame;
  }

  /** What the header announces. */
  #announce(): Announced {
    const [number, flags] = this.#header as unknown as [number, number];
    const announced = this.#announced.get(number);
    const called = announced?.name ?? `Message ${number}`;
    if (!announced) this.#checkIsNoText();
    if ((flags & VERSION_MASK) !== VERSION) {
      throw new VhostFault(`${called} is of version ${flags & VERSION_MASK}, not ${VERSION}`);
    }
    if ((flags & REPLY) !== this.#flag) {
      throw new VhostFault(
        this.#flag === 0
          ? `${called} says that it is an answer, and nothing was asked`
          : `${called} came instead of an answer`,
      );
    }
    if (!announced) throw new VhostFault(`Message ${number} is not known here`);
    return announced;
  }

  /** What programs of many other protocols begin with, as `"NBDMAGICIHAVEOPT"`. */
  #checkIsNoText(): void {
    const text = String.fromCharCode(...new Uint8Array(this.#header.buffer));
    if (!/^[ -~\r\n]*$/.test(text)) return;
    throw new VhostFault(`${JSON.stringify(text)} is another protocol than vhost-user`);
  }
}
