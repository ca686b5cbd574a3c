/**
 * Programs that serve an entropy source by vhost-user, each of which does one thing wrong; one after the other is used.
 * They are a worker, since the thread that uses such a device waits for its answers.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { receiveDescriptors, sendDescriptors } from "../../core/linux/descriptors.ts";
import { close, eventfd } from "../../core/linux/fd.ts";
import { poll, POLLIN } from "../../core/linux/poll.ts";
import { accept, connectUnix, listenUnix } from "../../core/linux/socket.ts";

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
  /** Features that it offers, instead of those that it should. */
  readonly features?: bigint;
}

const VERSION_1 = 1n << 32n, PROTOCOL_FEATURES = 1n << 30n;
const REPLY_ACK = 1n << 3n;
const GET_FEATURES = 1, GET_PROTOCOL_FEATURES = 15;
const NEED_REPLY = 8;

function reply(fd: number, wrong: Wrong, request: number, value: bigint): void {
  const { size = 8, number = 0, flags = 5, descriptors = 0 } = wrong;
  const bytes = new Uint8Array(12 + size);
  new Uint32Array(bytes.buffer, 0, 3).set([request + number, flags, size]);
  bytes.set(new Uint8Array(new BigUint64Array([value]).buffer).subarray(0, size), 12);
  const fds = Array.from({ length: descriptors }, eventfd);
  sendDescriptors(fd, bytes, fds);
  fds.forEach(close);
}

/** Receives a whole message, unless the other side hangs up. */
function message(fd: number): { request: number; flags: number } | undefined {
  const take = (bytes: Uint8Array<ArrayBuffer>): boolean => {
    for (let done = 0; done < bytes.length;) {
      const fds: number[] = [];
      const got = receiveDescriptors(fd, bytes.subarray(done), 8, fds, false);
      fds.forEach(close);
      if (got === 0) return false;
      if (got < 0) poll(new Int32Array([fd, POLLIN]), 1, 10_000);
      else done += got;
    }
    return true;
  };
  const header = new Uint32Array(3);
  if (!take(new Uint8Array(header.buffer))) return undefined;
  if (header[2]! > 0 && !take(new Uint8Array(header[2]!))) return undefined;
  return { request: header[0]!, flags: header[1]! };
}

/** Serves one connection. */
function serve(fd: number, wrong: Wrong): void {
  const { closesAt = -1, silentAt = Infinity, refusesAt = -1, features } = wrong;
  if (wrong.greeting !== undefined) {
    sendDescriptors(fd, new TextEncoder().encode(wrong.greeting), []);
  }
  for (let at = 0;; at++) {
    if (at === closesAt) return;
    const asked = message(fd);
    if (!asked) return;
    const { request, flags } = asked;
    if (at >= silentAt) continue;
    if (request === GET_FEATURES) {
      reply(fd, wrong, request, features ?? (VERSION_1 | PROTOCOL_FEATURES));
    } else if (request === GET_PROTOCOL_FEATURES) reply(fd, wrong, request, REPLY_ACK);
    else if (flags & NEED_REPLY) reply(fd, wrong, request, at === refusesAt ? 1n : 0n);
  }
}

/** Connects as soon as that can be, and serves that connection. */
function dial(wrong: Wrong): void {
  for (;;) {
    try {
      const fd = connectUnix(wrong.path);
      serve(fd, wrong);
      close(fd);
      return;
    } catch {
      poll(new Int32Array(0), 0, 10);
    }
  }
}

self.onmessage = ({ data }: MessageEvent<readonly Wrong[]>) => {
  const [first] = data;
  if (first?.dials) return dial(first);
  const listeners = data.map(({ path }) => listenUnix(path));
  const set = new Int32Array(listeners.flatMap(({ fd }) => [fd, POLLIN]));
  self.postMessage("listens");
  for (;;) {
    poll(set, listeners.length, 60_000);
    for (const [i, listener] of listeners.entries()) {
      const fd = accept(listener.fd);
      if (fd < 0) continue;
      try {
        serve(fd, data[i]!);
      } catch {
        // The other side has hung up.
      }
      close(fd);
    }
  }
};
