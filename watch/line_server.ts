// What serves text at a Unix socket of one user.

import { close } from "../core/linux/fd.ts";
import { POLLIN, POLLOUT } from "../core/linux/poll.ts";
import { effectiveUser } from "../core/linux/process.ts";
import {
  accept,
  listenUnix,
  peerUser,
  receive,
  sendNow,
  type UnixListener,
} from "../core/linux/socket.ts";
import type { Loop } from "../core/irq/interrupt_loop.ts";

/** Clients that may be connected at a time; more are turned away. */
const MOST_CLIENTS = 16;
/** Bytes that a client may send before it has asked for something. */
const MOST_REQUEST = 16 * 1024;
/** Milliseconds that a client may take to send what it asks for, and to take an answer. */
const PATIENCE_MS = 10_000;

/** What is served. */
export interface Served {
  /** What ends a request. */
  readonly end: string;
  /** Whether a client may ask again. */
  readonly again: boolean;
  /** The answer to a request. */
  answer(request: string): Promise<string>;
  /** The answer to a client of another user. */
  readonly refusal: string;
}

/**
 * Answers requests at a Unix socket that only this program's user may open, and no other is answered. A client that sends
 * too much, or takes nothing, is left.
 */
export class LineServer implements Disposable {
  readonly #listener: UnixListener;
  readonly #loop: Loop;
  readonly #served: Served;
  readonly #clients = new Map<number, Client>();

  /**
   * Listens.
   *
   * @throws PathTaken If another server is at work there, or another file is there.
   * @throws OsError If that is not possible at this path.
   */
  constructor(path: string, loop: Loop, served: Served) {
    this.#listener = listenUnix(path, 0o600);
    this.#loop = loop;
    this.#served = served;
    loop.add(this.#listener.fd, () => this.#accept());
  }

  #accept(): void {
    for (let fd; (fd = accept(this.#listener.fd)) >= 0;) {
      if (this.#clients.size >= MOST_CLIENTS) {
        close(fd);
        continue;
      }
      const { refusal } = this.#served;
      // It hears so when it has asked: a connection that is closed before takes the answer along.
      const served = peerUser(fd) === effectiveUser()
        ? this.#served
        : { ...this.#served, again: false, answer: () => Promise.resolve(refusal) };
      this.#clients.set(fd, new Client(fd, this.#loop, served, () => this.#clients.delete(fd)));
    }
  }

  [Symbol.dispose](): void {
    this.#loop.remove(this.#listener.fd);
    this.#listener.close();
    for (const client of this.#clients.values()) client[Symbol.dispose]();
  }
}

class Client implements Disposable {
  readonly #fd: number;
  readonly #loop: Loop;
  readonly #served: Served;
  readonly #left: () => void;
  readonly #decoder = new TextDecoder();
  #request = "";
  #answer = new Uint8Array(0);
  #last = false;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(fd: number, loop: Loop, served: Served, left: () => void) {
    this.#fd = fd;
    this.#loop = loop;
    this.#served = served;
    this.#left = left;
    this.#listen();
  }

  #listen(): void {
    this.#loop.add(this.#fd, () => this.#hear());
  }

  /** It has so much time from now on. */
  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this[Symbol.dispose](), PATIENCE_MS);
  }

  #hear(): void {
    const bytes = new Uint8Array(4096);
    const got = receive(this.#fd, bytes, false);
    if (got === 0) return this[Symbol.dispose]();
    if (got < 0) return;
    this.#wait();
    this.#request += this.#decoder.decode(bytes.subarray(0, got), { stream: true });
    const end = this.#request.indexOf(this.#served.end);
    if (end < 0) {
      if (this.#request.length > MOST_REQUEST) this[Symbol.dispose]();
      return;
    }
    const request = this.#request.slice(0, end);
    this.#request = "";
    clearTimeout(this.#timer);
    // It is not heard while it waits: an answer at a time.
    this.#loop.remove(this.#fd);
    this.#last = !this.#served.again;
    this.#served.answer(request).then((text) => this.#say(text), () => this[Symbol.dispose]());
  }

  #say(text: string): void {
    if (this.#closed) return;
    this.#answer = new TextEncoder().encode(text);
    this.#wait();
    this.#send();
  }

  #send(): void {
    while (this.#answer.length > 0) {
      const put = sendNow(this.#fd, this.#answer);
      if (put < 0) return this[Symbol.dispose]();
      if (put === 0) return this.#loop.add(this.#fd, () => this.#send(), POLLOUT);
      this.#answer = this.#answer.subarray(put);
    }
    if (this.#last) return this[Symbol.dispose]();
    clearTimeout(this.#timer);
    this.#loop.add(this.#fd, () => this.#hear(), POLLIN);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#loop.remove(this.#fd);
    close(this.#fd);
    this.#left();
  }
}
