/**
 * Programs that serve a device by vhost-user, each of which does one thing wrong.
 *
 * @module
 */

import { receiveDescriptors, sendDescriptors } from "../../core/linux/descriptors.ts";
import { close, eventfd } from "../../core/linux/fd.ts";
import { mapShared } from "../../core/linux/memory.ts";
import { accept, connectUnix, listenUnix, sendNow } from "../../core/linux/socket.ts";

/** What it does wrong. */
export interface Wrong {
  /** The path of its socket. */
  readonly path: string;
  /** It connects there, once something listens, and does nothing wrong. */
  readonly dials?: boolean;
  /** It hangs up instead of answering message number so many, from 0. */
  readonly closesAt?: number;
  /** It is silent from there on. */
  readonly silentAt?: number;
  /** It says that it could not do what that asks. */
  readonly refusesAt?: number;
  /** It sends these bytes first. */
  readonly greeting?: string;
  /** Bytes of its answers, instead of 8. */
  readonly size?: number;
  /** What is added to the number of the message that it answers. */
  readonly number?: number;
  /** Flags of its answers, instead of 5. */
  readonly flags?: number;
  /** Descriptors that come with its answers. */
  readonly descriptors?: number;
  /** Features that it offers, instead of those of an entropy source. */
  readonly features?: bigint;
  /** Protocol features that it offers, besides REPLY_ACK. */
  readonly protocol?: bigint;
  /** It says something more, unasked, behind its answer to message number so many. */
  readonly speaksAt?: number;
  /** How many queues it says that it has; 1 if absent. */
  readonly queues?: bigint;
  /** So many bytes of its configuration it tells, whatever is asked for. */
  readonly config?: number;
  /** It says without end that its configuration has changed, and that changes without end. */
  readonly floods?: boolean;
}

const VERSION_1 = 1n << 32n, PROTOCOL_FEATURES = 1n << 30n;
const REPLY_ACK = 1n << 3n;
const GET_FEATURES = 1, SET_MEM_TABLE = 5, GET_PROTOCOL_FEATURES = 15, GET_QUEUE_NUM = 17;
const SET_BACKEND_REQ_FD = 21, GET_CONFIG = 24, CONFIG_CHANGE_MSG = 2;
const NEED_REPLY = 8;

function tellConfig(fd: number, asked: Uint8Array, told: number, value: number): void {
  const bytes = new Uint8Array(told === 0 ? 12 : 24 + told).fill(value, 24);
  bytes.set(asked.subarray(0, Math.min(24, bytes.length)));
  const words = new Uint32Array(bytes.buffer, 0, 3);
  words[1] = 5;
  words[2] = bytes.length - 12;
  if (told > 0) new DataView(bytes.buffer).setUint32(16, told, true);
  sendDescriptors(fd, bytes, []);
}

/** Says that the configuration has changed until it is over, as often as the other side takes it. */
async function flood(fd: number, over: AbortSignal): Promise<void> {
  const bytes = new Uint8Array(12);
  new Uint32Array(bytes.buffer).set([CONFIG_CHANGE_MSG, 1, 0]);
  for (let sent = 0; sent >= 0 && !over.aborted;) {
    for (let i = 0; i < 1000 && (sent = sendNow(fd, bytes)) > 0; i++);
    await pause();
  }
  close(fd);
}

function reply(fd: number, wrong: Wrong, request: number, value: bigint): void {
  const { size = 8, number = 0, flags = 5, descriptors = 0 } = wrong;
  const bytes = new Uint8Array(12 + size);
  new Uint32Array(bytes.buffer, 0, 3).set([request + number, flags, size]);
  bytes.set(new Uint8Array(new BigUint64Array([value]).buffer).subarray(0, size), 12);
  const fds = Array.from({ length: descriptors }, eventfd);
  sendDescriptors(fd, bytes, fds);
  fds.forEach(close);
}

/** Between two looks. */
const pause = (milliseconds = 1) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A message as it came. Its descriptors are the receiver's. */
interface Message {
  readonly request: number;
  readonly flags: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly descriptors: readonly number[];
}

/** Receives a whole message, unless one of both sides hangs up. */
async function message(fd: number, over: AbortSignal): Promise<Message | undefined> {
  const descriptors: number[] = [];
  const take = async (bytes: Uint8Array<ArrayBuffer>): Promise<boolean> => {
    for (let done = 0; done < bytes.length;) {
      const got = receiveDescriptors(fd, bytes.subarray(done), 8, descriptors, false);
      if (got === 0 || over.aborted) return false;
      if (got < 0) await pause();
      else done += got;
    }
    return true;
  };
  const header = new Uint32Array(3);
  const whole = await take(new Uint8Array(header.buffer));
  const [request, flags, size] = header as unknown as [number, number, number];
  const bytes = new Uint8Array(12 + size);
  bytes.set(new Uint8Array(header.buffer));
  if (whole && await take(bytes.subarray(12))) return { request, flags, bytes, descriptors };
  descriptors.forEach(close);
  return undefined;
}

/** Serves one connection, and closes it. */
async function serve(fd: number, wrong: Wrong, over: AbortSignal): Promise<void> {
  const { closesAt = -1, silentAt = Infinity, refusesAt = -1, features, protocol = 0n } = wrong;
  let flooding: Promise<void> | undefined;
  try {
    if (wrong.greeting !== undefined) {
      sendDescriptors(fd, new TextEncoder().encode(wrong.greeting), []);
    }
    for (let at = 0; at !== closesAt; at++) {
      const asked = await message(fd, over);
      if (!asked) return;
      const { request, flags } = asked;
      const [first = -1] = asked.descriptors;
      const keeps = wrong.floods === true && request === SET_BACKEND_REQ_FD;
      if (keeps) flooding = flood(first, over);
      else asked.descriptors.forEach(close);
      if (at >= silentAt) continue;
      if (request === GET_FEATURES) {
        reply(fd, wrong, request, features ?? (VERSION_1 | PROTOCOL_FEATURES));
      } else if (request === GET_PROTOCOL_FEATURES) reply(fd, wrong, request, REPLY_ACK | protocol);
      else if (request === GET_QUEUE_NUM) reply(fd, wrong, request, wrong.queues ?? 1n);
      else if (request === GET_CONFIG) {
        tellConfig(fd, asked.bytes, wrong.config ?? asked.bytes.length - 24, at);
      } else if (flags & NEED_REPLY) reply(fd, wrong, request, at === refusesAt ? 1n : 0n);
      if (at === wrong.speaksAt) reply(fd, wrong, GET_FEATURES, 0n);
    }
  } catch {
    // The other side has hung up.
  } finally {
    close(fd);
    await flooding;
  }
}

/** Such programs at work. Disposing them ends them. */
export class BadBackEnds implements AsyncDisposable {
  readonly #over = new AbortController();
  readonly #work: Promise<void>[];

  /** Starts them: when it returns, they listen. */
  constructor(wrongs: readonly Wrong[]) {
    this.#work = wrongs.map((wrong) => wrong.dials ? this.#dial(wrong) : this.#listen(wrong));
  }

  async #listen(wrong: Wrong): Promise<void> {
    const listener = listenUnix(wrong.path);
    const connections: Promise<void>[] = [];
    while (!this.#over.signal.aborted) {
      const fd = accept(listener.fd);
      if (fd >= 0) connections.push(serve(fd, wrong, this.#over.signal));
      else await pause();
    }
    listener.close();
    await Promise.all(connections);
  }

  /** Connects as soon as that can be, and serves that connection. */
  async #dial(wrong: Wrong): Promise<void> {
    while (!this.#over.signal.aborted) {
      try {
        return await serve(connectUnix(wrong.path), wrong, this.#over.signal);
      } catch {
        await pause();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#work);
  }
}

/** Memory that a front-end has shared. */
interface Shared {
  readonly fd: number;
  readonly bytes: number;
}

/**
 * A program that serves what another one serves, hangs up when it is told to, and goes on to write to all of the memory
 * that it had until then.
 */
export class Scribbler implements AsyncDisposable {
  readonly #over = new AbortController();
  readonly #listening: Promise<void>;
  readonly #to: string;
  #dropped = new AbortController();
  #memory: Shared | undefined;
  #left: Shared | undefined;
  #writing: Promise<void> | undefined;
  /** How often it has overwritten all that it had. */
  writes = 0;

  /** Listens. */
  constructor(path: string, to: string) {
    this.#to = to;
    this.#listening = this.#listen(path);
  }

  async #listen(path: string): Promise<void> {
    const listener = listenUnix(path);
    const connections: Promise<unknown>[] = [];
    while (!this.#over.signal.aborted) {
      const fd = accept(listener.fd);
      if (fd < 0) await pause();
      else connections.push(this.#connect(fd));
    }
    listener.close();
    await Promise.all(connections);
  }

  async #connect(fd: number): Promise<void> {
    const other = connectUnix(this.#to);
    const over = new AbortController();
    const signal = AbortSignal.any([this.#over.signal, this.#dropped.signal, over.signal]);
    const pass = async (from: number, to: number) => {
      for (;;) {
        const came = await message(from, signal);
        if (!came) break;
        const { request, bytes, descriptors } = came;
        if (request === SET_MEM_TABLE && descriptors.length > 0) this.#keep(came);
        sendDescriptors(to, bytes, descriptors);
        if (request === SET_MEM_TABLE) descriptors.slice(1).forEach(close);
        else descriptors.forEach(close);
      }
      over.abort();
    };
    await Promise.allSettled([pass(fd, other), pass(other, fd)]);
    close(fd);
    close(other);
    this.#forget();
  }

  #forget(): void {
    if (this.#memory) close(this.#memory.fd);
    this.#memory = undefined;
  }

  /** Keeps the memory of the latest connection: its first region is all of it. */
  #keep({ bytes, descriptors }: Message): void {
    this.#forget();
    const size = new DataView(bytes.buffer).getBigUint64(12 + 8 + 8, true);
    this.#memory = { fd: descriptors[0]!, bytes: Number(size) };
  }

  /** Hangs up. */
  drop(): void {
    this.#dropped.abort();
    this.#dropped = new AbortController();
    this.#left = this.#memory;
    this.#memory = undefined;
  }

  /** Writes to all of the memory of the connection that was dropped, from now on. */
  scribble(): void {
    const { fd, bytes } = this.#left!;
    this.#left = undefined;
    const memory = new Uint8Array(mapShared(fd, 0, bytes));
    close(fd);
    this.#writing = (async () => {
      while (!this.#over.signal.aborted) {
        memory.fill(++this.writes & 0xff);
        await pause(20);
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all([this.#listening, this.#writing]);
  }
}
