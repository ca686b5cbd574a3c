// Questions to a back-end, and its answers.

import type { OsError } from "../../core/linux/os_error.ts";
import { receiveDescriptors, sendDescriptors } from "../../core/linux/descriptors.ts";
import { close } from "../../core/linux/fd.ts";
import type { Loop } from "../../core/irq/interrupt_loop.ts";
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

/** An answer that is waited for. */
interface Awaited {
  readonly name: string;
  readonly take: (frame: Frame) => void;
  readonly fail: (error: VhostFault) => void;
}

/**
 * A front-end's connection to a back-end. Each speaks in turn, the back-end only when it is asked, and nothing but the
 * asker waits meanwhile. Whatever goes wrong ends it: what is under way is not known afterwards.
 */
export class Connection implements Disposable {
  /** The socket. */
  readonly fd: number;
  /** Whether the other side acknowledges what is no question. */
  acknowledges = false;
  readonly #framing = new Framing(FRONT_END, "answers");
  readonly #loop: Loop;
  readonly #ended: (error: VhostFault) => void;
  readonly #deadline: number;
  #awaited: Awaited | undefined;
  /** Why it is closed, if it is. */
  #why: VhostFault | undefined;

  /**
   * Begins to listen.
   *
   * @param fd A socket that does not block; it is closed with this.
   * @param ended Told why, if the connection ends, and not because it is disposed.
   */
  constructor(
    fd: number,
    loop: Loop,
    ended: (error: VhostFault) => void = () => {},
    deadline = DEADLINE,
  ) {
    this.fd = fd;
    this.#loop = loop;
    this.#ended = ended;
    this.#deadline = deadline;
    loop.add(fd, () => this.#hear());
  }

  /**
   * Asks a question.
   *
   * @throws {VhostFault} If there is no answer, or a wrong one.
   */
  ask<Name extends keyof Names>(
    name: Name,
    body: BodyOf<Names[Name]>,
  ): Promise<AnswerOf<Names[Name]>> {
    const kind = FRONT_END[name] as unknown as Question<AnswerOf<Names[Name]>>;
    return this.#say(name, body, false, [], (frame) => decodeAnswer(kind, frame));
  }

  /**
   * Says something, and waits until it is done where the other side tells.
   *
   * @throws {VhostFault} If it refuses.
   */
  async tell<Name extends keyof Names>(
    name: Name,
    body: BodyOf<Names[Name]>,
    ...descriptors: readonly number[]
  ): Promise<void> {
    const refused = (frame: Frame) => {
      const result = decodeAcknowledgement(frame);
      if (result !== 0n) throw new VhostFault(`it refuses ${name} (${result})`);
    };
    await this.#say(
      name,
      body,
      this.acknowledges,
      descriptors,
      this.acknowledges ? refused : undefined,
    );
  }

  /** Sends a message, and waits for its answer, if there is one to decode. */
  #say<Name extends keyof Names, T>(
    name: Name,
    body: BodyOf<Names[Name]>,
    needReply: boolean,
    descriptors: readonly number[],
    decode: ((frame: Frame) => T) | undefined,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#why) {
      reject(this.#why instanceof HungUp ? new HungUp(`it hung up before ${name}`) : this.#why);
      return promise;
    }
    const timer = setTimeout(
      () => this.#end(new VhostFault(`it did not answer ${name} within ${this.#deadline} ms`)),
      this.#deadline,
    );
    this.#awaited = {
      name,
      take: (frame) => {
        const answer = decode!(frame);
        clearTimeout(timer);
        this.#awaited = undefined;
        resolve(answer);
      },
      fail: (error) => {
        clearTimeout(timer);
        reject(error);
      },
    };
    try {
      const bytes = encodeMessage(FRONT_END[name] as never, body as never, needReply);
      sendDescriptors(this.fd, bytes, descriptors);
    } catch (error) {
      // It may have hung up before we said anything.
      const Fault = (error as Partial<OsError>).code === "EPIPE" ? HungUp : VhostFault;
      this.#end(new Fault(`it does not take ${name}: ${(error as Error).message}`));
    }
    if (!decode && !this.#why) {
      clearTimeout(timer);
      this.#awaited = undefined;
      resolve(undefined as T);
    }
    return promise;
  }

  /** Takes what is there. */
  #hear(): void {
    try {
      for (;;) {
        const { room, mostDescriptors, descriptors } = this.#framing;
        const got = receiveDescriptors(this.fd, room, mostDescriptors, descriptors, false);
        if (got < 0) break;
        const asked = this.#awaited?.name;
        if (got === 0) {
          throw new HungUp(asked ? `it hung up instead of answering ${asked}` : "it hung up");
        }
        const frame = this.#framing.received(got);
        if (frame) this.#take(frame);
        if (this.#why) return;
      }
      if (this.#framing.inside && !this.#awaited) throw unasked();
    } catch (error) {
      this.#end(
        error instanceof VhostFault ? error : new VhostFault((error as Error).message),
      );
    }
  }

  /** Takes a message. Descriptors that come with one are not wanted, and so are not kept. */
  #take(frame: Frame): void {
    const awaited = this.#awaited;
    try {
      if (!awaited) throw unasked();
      if (frame.name !== awaited.name) {
        throw new VhostFault(`it answered ${frame.name} instead of ${awaited.name}`);
      }
      awaited.take(frame);
    } finally {
      frame.descriptors.forEach(close);
    }
  }

  #end(error: VhostFault): void {
    if (this.#why) return;
    this.#close(error);
    this.#ended(error);
  }

  #close(error: VhostFault): void {
    this.#why = error;
    this.#framing.descriptors.splice(0).forEach(close);
    this.#loop.remove(this.fd);
    close(this.fd);
    this.#awaited?.fail(error);
    this.#awaited = undefined;
  }

  [Symbol.dispose](): void {
    if (!this.#why) this.#close(new HungUp("it was left"));
  }
}

function unasked(): VhostFault {
  return new VhostFault("it speaks without being asked");
}
