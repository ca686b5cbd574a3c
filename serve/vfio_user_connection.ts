// One connection of a vfio-user client.

import type { Loop } from "../core/irq/interrupt_loop.ts";
import { receiveDescriptors } from "../core/linux/descriptors.ts";
import { close } from "../core/linux/fd.ts";
import { POLLIN, POLLOUT } from "../core/linux/poll.ts";
import { sendNow } from "../core/linux/socket.ts";
import { Framing } from "./vfio_user/framing.ts";
import { encodeError, type Header } from "./vfio_user/message.ts";
import { Errno, MOST_DESCRIPTORS } from "./vfio_user/protocol.ts";
import type { ServedFunction } from "./vfio_user/served_function.ts";
import { Session } from "./vfio_user/session.ts";
import type { Witness } from "./witness.ts";
import { clientLine, clientSignal } from "./client_line.ts";
import { ClientMemory } from "./client_memory.ts";

/** Messages that are read at a time: others are on this thread, too. */
const MOST_MESSAGES = 64;
/** How long a client may take to say its version, and to finish a message, in milliseconds. */
const DEADLINE = 10_000;
/** Sentences about one client: a hostile one could have others said without end. */
const MOST_NOTICES = 20;

/** What a connection is part of. */
export interface ConnectionOptions {
  /** The function that it is about; it is as after a reset. */
  readonly device: ServedFunction;
  readonly loop: Loop;
  /** The device was written to. */
  readonly rung: () => void;
  /** Says something about the client. */
  readonly notice: (sentence: string) => void;
  /** Sees what the client does. */
  readonly witness?: Witness;
  /** The connection has ended; with the reason, if the client broke the protocol. */
  readonly ended: (why?: string) => void;
}

/**
 * A client's connection: bytes in and out. A client that does not keep to the protocol is told by an error, and people
 * by a sentence; then it ends, and all that came by it is let go of.
 */
export class Connection implements Disposable {
  readonly #fd: number;
  readonly #options: ConnectionOptions;
  readonly #framing = new Framing();
  readonly #memory = new ClientMemory();
  readonly #session: Session;
  #unsent: Uint8Array<ArrayBuffer>[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #notices = 0;
  #why: string | undefined;
  #isOver = false;

  /** Begins to listen to a socket, which is the connection's to close. */
  constructor(fd: number, options: ConnectionOptions) {
    this.#fd = fd;
    this.#options = options;
    const { device, loop, rung, witness } = options;
    this.#session = new Session(device, {
      close,
      memoryFile: (descriptor) => this.#memory.file(descriptor),
      line: clientLine,
      listen: (descriptor, happened) => clientSignal(descriptor, loop, happened),
      rung,
      notice: (sentence) => this.notice(sentence),
      ...(witness && {
        asked: (request) => witness.heard(request.command, request),
        accessed: (...access) => witness.accessed(...access),
      }),
    });
    this.#watch();
    this.#setDeadline("says no version");
  }

  /** The device sends an interrupt by MSI-X or MSI. */
  interrupt(vector: number): void {
    this.#session.interrupt(vector);
  }

  /** The device drives its interrupt pin. */
  pin(asserted: boolean): void {
    this.#session.pin(asserted);
  }

  /** Says something about the client, unless there was too much to say. */
  notice(sentence: string): void {
    this.#notices++;
    if (this.#notices < MOST_NOTICES) this.#options.notice(sentence);
    else if (this.#notices === MOST_NOTICES) {
      this.#options.notice(`${sentence}; what else is wrong is not told any more`);
    }
  }

  /** Carries out what came, so far. */
  read(): void {
    for (let messages = 0; messages < MOST_MESSAGES && !this.#isOver;) {
      // What is not read stays with the kernel: replies do not pile up here.
      if (this.#unsent.length > 0) return;
      const { length } = this.#framing.room;
      const descriptors: number[] = [];
      let header: Header | undefined;
      try {
        const got = receiveDescriptors(
          this.#fd,
          this.#framing.room,
          MOST_DESCRIPTORS,
          descriptors,
          false,
        );
        if (got < 0) break;
        if (got === 0) return this.#finish();
        const message = this.#framing.filled(got, descriptors);
        if (!message) {
          if (got < length) break;
          continue;
        }
        messages++;
        ({ header } = message);
        const reply = this.#session.answer(message);
        if (reply) this.#send(reply);
      } catch (error) {
        return this.#refuse(error as Error, header);
      }
    }
    if (this.#isOver) return;
    if (this.#framing.isInside) this.#setDeadline("does not finish a message");
    else if (this.#session.greeted) this.#clearDeadline();
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clearDeadline();
    this.#options.loop.remove(this.#fd);
    close(this.#fd);
    this.#framing.takeDescriptors().forEach(close);
    // The device first, as it holds places in the memory.
    this.#session[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
    this.#options.ended(this.#why);
  }

  #finish(): void {
    if (this.#framing.isInside) this.notice("The client is gone in the middle of a message");
    this[Symbol.dispose]();
  }

  #refuse(error: Error, header: Header | undefined): void {
    this.#why = error.message;
    this.notice(`${error.message}; the connection is ended`);
    if (header?.wantsReply) {
      // As far as there is room: the client hears why it is left alone.
      sendNow(this.#fd, encodeError(header.id, header.command, Errno.EINVAL));
    }
    this[Symbol.dispose]();
  }

  #send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#unsent.push(bytes);
    this.#flush();
  }

  #flush(): void {
    for (let next = this.#unsent[0]; next; next = this.#unsent[0]) {
      const sent = sendNow(this.#fd, next);
      if (sent < 0) return this[Symbol.dispose]();
      if (sent < next.length) {
        this.#unsent[0] = next.subarray(sent);
        break;
      }
      this.#unsent.shift();
    }
    this.#watch();
  }

  /** Waits for what can be done next: to send what is left comes before to read more. */
  #watch(): void {
    const { loop } = this.#options;
    if (this.#unsent.length > 0) loop.add(this.#fd, () => this.#flush(), POLLOUT);
    else loop.add(this.#fd, () => this.read(), POLLIN);
  }

  #setDeadline(what: string): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.notice(`The client ${what} within ${DEADLINE / 1000} s; the connection is ended`);
      this[Symbol.dispose]();
    }, DEADLINE);
  }

  #clearDeadline(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
