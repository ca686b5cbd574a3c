// Questions to a back-end, and its answers.

import { receiveDescriptors, sendDescriptors } from "../../core/linux/descriptors.ts";
import { close } from "../../core/linux/fd.ts";
import { poll, POLLIN } from "../../core/linux/poll.ts";
import { VhostFault } from "../../core/vhost/fault.ts";
import {
  decodeAcknowledgement,
  decodeAnswer,
  encodeMessage,
  type Frame,
  Framing,
  type Question,
} from "../../core/vhost/message.ts";
import { type AnswerOf, type BodyOf, FRONT_END } from "../../core/vhost/protocol.ts";

/** The messages of a front-end. */
type Names = typeof FRONT_END;

/** Milliseconds that a back-end has for each answer: DPDK takes a second for its first. */
const DEADLINE = 5000;

/** The other side has hung up. */
export class HungUp extends VhostFault {}

/**
 * A front-end's connection to a back-end. It speaks only when it asks, and waits then, since registers are
 * synchronous. Whatever goes wrong ends it: what is under way is not known afterwards.
 */
export class Connection implements Disposable {
  /** The socket. */
  readonly fd: number;
  /** Whether the other side acknowledges what is no question. */
  acknowledges = false;
  readonly #framing = new Framing(FRONT_END, "answers");
  readonly #deadline: number;
  readonly #wait: Int32Array<ArrayBuffer>;
  #closed = false;

  /** @param fd A socket that does not block; it is closed with this. */
  constructor(fd: number, deadline = DEADLINE) {
    this.fd = fd;
    this.#deadline = deadline;
    this.#wait = new Int32Array([fd, POLLIN]);
  }

  /** Whether it is over. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Asks a question.
   *
   * @throws {VhostFault} If there is no answer, or a wrong one.
   */
  ask<Name extends keyof Names>(name: Name, body: BodyOf<Names[Name]>): AnswerOf<Names[Name]> {
    return this.#guard(() => {
      this.#send(name, body, false, []);
      const kind = FRONT_END[name] as unknown as Question<AnswerOf<Names[Name]>>;
      return this.#answer(name, (frame) => decodeAnswer(kind, frame));
    });
  }

  /**
   * Says something, and waits until it is done where the other side tells.
   *
   * @throws {VhostFault} If it refuses.
   */
  tell<Name extends keyof Names>(
    name: Name,
    body: BodyOf<Names[Name]>,
    ...descriptors: readonly number[]
  ): void {
    this.#guard(() => {
      this.#send(name, body, this.acknowledges, descriptors);
      if (!this.acknowledges) return;
      const result = this.#answer(name, decodeAcknowledgement);
      if (result !== 0n) throw new VhostFault(`it refuses ${name} (${result})`);
    });
  }

  /** Looks at a socket that became readable unasked. */
  listen(): void {
    this.#guard(() => {
      const frame = this.#receive();
      frame?.descriptors.forEach(close);
      if (frame || this.#framing.inside) throw new VhostFault("it speaks without being asked");
    });
  }

  #send<Name extends keyof Names>(
    name: Name,
    body: BodyOf<Names[Name]>,
    needReply: boolean,
    descriptors: readonly number[],
  ): void {
    if (this.#closed) throw new HungUp("it has hung up");
    try {
      const bytes = encodeMessage(FRONT_END[name] as never, body as never, needReply);
      sendDescriptors(this.fd, bytes, descriptors);
    } catch (error) {
      throw new VhostFault(`it does not take ${name}: ${(error as Error).message}`);
    }
  }

  /** Waits for the answer. Descriptors that come with one are not wanted, and so are not kept. */
  #answer<T>(name: string, decode: (frame: Frame) => T): T {
    const end = performance.now() + this.#deadline;
    for (;;) {
      const frame = this.#receive(name);
      if (!frame) {
        const rest = end - performance.now();
        if (rest > 0) {
          poll(this.#wait, 1, Math.ceil(rest));
          continue;
        }
        throw new VhostFault(`it did not answer ${name} within ${this.#deadline} ms`);
      }
      try {
        if (frame.name === name) return decode(frame);
      } finally {
        frame.descriptors.forEach(close);
      }
      throw new VhostFault(`it answered ${frame.name} instead of ${name}`);
    }
  }

  /** Takes what is there. */
  #receive(name?: string): Frame | undefined {
    const framing = this.#framing;
    for (;;) {
      const { room, mostDescriptors, descriptors } = framing;
      const got = receiveDescriptors(this.fd, room, mostDescriptors, descriptors, false);
      if (got < 0) return undefined;
      if (got === 0) {
        throw new HungUp(name ? `it hung up instead of answering ${name}` : "it hung up");
      }
      const frame = framing.received(got);
      if (frame) return frame;
    }
  }

  #guard<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      this[Symbol.dispose]();
      if (error instanceof VhostFault) throw error;
      throw new VhostFault((error as Error).message);
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#framing.descriptors.splice(0).forEach(close);
    close(this.fd);
  }
}
