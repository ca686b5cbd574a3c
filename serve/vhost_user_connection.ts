import type { Loop } from "../core/irq/interrupt_loop.ts";
import {
  receiveDescriptors,
  sendDescriptors,
  TooManyDescriptors,
} from "../core/linux/descriptors.ts";
import { close } from "../core/linux/fd.ts";
import { UnfitMemory } from "../core/linux/foreign_memory.ts";
import { OsError } from "../core/linux/os_error.ts";
import { VhostFault } from "../core/vhost/fault.ts";
import { decodeMessage, encodeAcknowledgement, Framing } from "../core/vhost/message.ts";
import { FRONT_END } from "../core/vhost/protocol.ts";
import { DriverFault } from "../core/virtqueue/device_queue.ts";
import type { BackEnd } from "./back_end.ts";

/** Receptions before others on this thread get their turn. */
const RECEPTIONS = 64;
/** How long the rest of a message may take, in milliseconds. */
const REST_MS = 5000;

/** What a front-end can do wrong; anything else is a mistake of our own. */
const FAULTS = [VhostFault, UnfitMemory, DriverFault, TooManyDescriptors, OsError];

/** A connection with a front-end: bytes and descriptors in, answers out. */
export class Connection implements Disposable {
  readonly #fd: number;
  readonly #loop: Loop;
  readonly #backEnd: BackEnd;
  readonly #ended: (why?: string) => void;
  readonly #framing = new Framing(FRONT_END, "messages");
  #rest: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /**
   * Begins to listen.
   *
   * @param fd The socket, which does not block; it is closed at the end.
   * @param ended Called once, when the front-end has left, or with the reason why it had to.
   */
  constructor(fd: number, loop: Loop, backEnd: BackEnd, ended: (why?: string) => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#backEnd = backEnd;
    this.#ended = ended;
    loop.add(fd, () => this.read());
  }

  /** Does what the front-end has said so far, and hears whether it has left. */
  read(): void {
    try {
      for (let i = 0; i < RECEPTIONS && !this.#closed; i++) {
        const { room, mostDescriptors, descriptors } = this.#framing;
        const got = receiveDescriptors(this.#fd, room, mostDescriptors, descriptors, false);
        if (got < 0) break;
        if (got === 0) {
          return this.#end(this.#framing.inside ? "it left in the middle of a message" : undefined);
        }
        this.#received(got);
      }
    } catch (error) {
      if (FAULTS.some((each) => error instanceof each)) return this.#end((error as Error).message);
      this.#end(error instanceof Error ? error.stack ?? error.message : String(error));
      return;
    }
    this.#watchRest();
  }

  #received(bytes: number): void {
    const frame = this.#framing.received(bytes);
    if (!frame) return;
    let message;
    try {
      message = decodeMessage(FRONT_END, frame);
    } catch (error) {
      frame.descriptors.forEach(close);
      throw error;
    }
    const answer = this.#backEnd.handle(message);
    if (answer) this.#send(answer.bytes, answer.descriptor);
    else if (message.needReply && this.#backEnd.has("REPLY_ACK")) {
      this.#send(encodeAcknowledgement(FRONT_END[message.name], 0n));
    }
  }

  #send(bytes: Uint8Array<ArrayBuffer>, descriptor?: number): void {
    try {
      sendDescriptors(this.#fd, bytes, descriptor === undefined ? [] : [descriptor]);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      throw new VhostFault(
        error.code === "EAGAIN" ? "it takes no answers" : "it left without its answer",
      );
    } finally {
      if (descriptor !== undefined) close(descriptor);
    }
  }

  /** A front-end that has sent a part of a message must send the rest. */
  #watchRest(): void {
    if (!this.#framing.inside || this.#closed) {
      clearTimeout(this.#rest);
      this.#rest = undefined;
      return;
    }
    this.#rest ??= setTimeout(
      () => this.#end(`the rest of a message did not come within ${REST_MS / 1000} seconds`),
      REST_MS,
    );
  }

  #end(why?: string): void {
    if (this.#closed) return;
    this[Symbol.dispose]();
    this.#ended(why);
  }

  /** Ends it; nothing is said about it. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#rest);
    this.#loop.remove(this.#fd);
    close(this.#fd);
    this.#framing.descriptors.splice(0).forEach(close);
    this.#backEnd.disconnect();
  }
}
