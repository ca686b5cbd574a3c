// Unix sockets, with descriptors that travel along.

import { close } from "./fd.ts";
import { unlink } from "./file.ts";
import { identityOf, kindAt } from "./file_kind.ts";
import { cString, libc } from "./libc.ts";
import { check, errno, OsError } from "./os_error.ts";
import { poll } from "./poll.ts";
import {
  EAGAIN,
  ECONNRESET,
  EINTR,
  LOCK_EX,
  LOCK_NB,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  O_CLOEXEC,
  O_DIRECTORY,
  SOCK_CLOEXEC,
  SOL_SOCKET,
} from "./numbers.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
/** Bytes of a Unix socket's path, its NUL included: what struct sockaddr_un has room for. */
const PATH_BYTES = 108;
const KIND = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
const BACKLOG = 128;
const EADDRINUSE = 98;
const ECONNREFUSED = 111;
/** To listen takes a moment: so often, and after so many milliseconds each, the folder is asked for. */
const LOCK_TRIES = 200;
const LOCK_PAUSE = 10;
const SO_PEERCRED = 17;
/** struct ucred: process, user, group, each of 32 bits. */
const UCRED_BYTES = 12;

/** Two connected stream sockets, closed on exec. */
export function socketPair(): [number, number] {
  const ends = new Int32Array(2);
  check(
    libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
    "Cannot create a socket pair",
  );
  return [ends[0]!, ends[1]!];
}

/** A socket that listens at a path of the file system. */
export interface UnixListener {
  /** The socket; closed on exec, and does not block. */
  readonly fd: number;
  /** Closes it and takes its path away, unless another stands there by now. */
  close(): void;
}

/** Something else stands where a socket should listen. */
export class PathTaken extends Error {
  /** Tells the error apart. */
  override readonly name = "PathTaken";
}

/**
 * Listens at a path. What a server has left there that is no more is taken over; one at work is left alone, and so is
 * any other file.
 *
 * @param mode Who may connect, as of a file; what the umask lets if left out.
 * @throws {PathTaken} If the path is not free.
 */
export function listenUnix(path: string, mode?: number): UnixListener {
  const address = unixAddress(path, `Cannot listen at ${path}`);
  const fd = check(libc().socket(AF_UNIX, KIND, 0), "Cannot create a socket");
  try {
    // Before it has a name, so that there is no moment at which others may.
    if (mode !== undefined) check(libc().fchmod(fd, mode), `Cannot listen at ${path}`);
    // Two programs must not find the same socket left behind, and the second take that of the first away.
    using _alone = lockFolder(path);
    let bound = libc().bind(fd, address, address.length);
    if (bound < 0 && errno() === EADDRINUSE) {
      checkLeft(path, address);
      unlink(path);
      bound = libc().bind(fd, address, address.length);
    }
    check(bound, `Cannot listen at ${path}`);
    check(libc().listen(fd, BACKLOG), `Cannot listen at ${path}`);
    const own = identityOf(path)?.id;
    return {
      fd,
      close() {
        close(fd);
        if (identityOf(path)?.id === own) unlink(path);
      },
    };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * Connects to a socket at a path. What comes back does not block and is closed on exec.
 *
 * @throws {OsError} If there is none, or no program listens there; EAGAIN if as many wait there already as may.
 */
export function connectUnix(path: string): number {
  const action = `Cannot connect to ${path}`;
  const address = unixAddress(path, action);
  const fd = check(libc().socket(AF_UNIX, KIND, 0), "Cannot create a socket");
  for (;;) {
    if (libc().connect(fd, address, address.length) >= 0) return fd;
    const error = errno();
    if (error === EINTR) continue;
    close(fd);
    throw new OsError(action, error, error === ECONNREFUSED ? whyRefused(path) : undefined);
  }
}

function whyRefused(path: string): string | undefined {
  const kind = kindAt(path);
  if (kind === undefined) return undefined;
  return kind === "socket" ? "no program listens there any more" : `it is a ${kind}, not a socket`;
}

/** struct sockaddr_un: family 2, path. */
function unixAddress(path: string, action: string): Uint8Array<ArrayBuffer> {
  const name = cString(path);
  if (name.length > PATH_BYTES) {
    throw new RangeError(`${action}: a socket's path has at most ${PATH_BYTES - 1} bytes`);
  }
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}

/** Throws unless what stands at the path is a socket at which no program listens any more. */
function checkLeft(path: string, address: Uint8Array<ArrayBuffer>): void {
  const kind = identityOf(path)?.kind;
  if (kind === undefined) return; // It has gone meanwhile.
  if (kind !== "socket") {
    throw new PathTaken(`Cannot listen at ${path}: it is a ${kind}, which is left alone`);
  }
  const fd = check(libc().socket(AF_UNIX, KIND, 0), "Cannot create a socket");
  const answered = libc().connect(fd, address, address.length);
  const error = errno();
  close(fd);
  if (answered < 0 && error === ECONNREFUSED) return;
  if (answered < 0 && error !== EAGAIN) throw new OsError(`Cannot listen at ${path}`, error);
  throw new PathTaken(`Cannot listen at ${path}: another program listens there`);
}

/** Keeps the folder of a path from other programs that do the same, until the result is disposed. */
function lockFolder(path: string): Disposable {
  const slash = path.lastIndexOf("/");
  const folder = slash < 0 ? "." : path.slice(0, slash + 1);
  const fd = check(
    libc().open(cString(folder), O_DIRECTORY | O_CLOEXEC, 0),
    `Cannot listen at ${path}`,
  );
  const nothing = new Int32Array(0);
  for (let tries = 0; libc().flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
    if (tries === LOCK_TRIES) {
      close(fd);
      throw new PathTaken(`Cannot listen at ${path}: another program holds its folder`);
    }
    poll(nothing, 0, LOCK_PAUSE);
  }
  return { [Symbol.dispose]: () => close(fd) };
}

/** Takes a connection that waits at a listening socket; -1 if there is none now. */
export function accept(fd: number): number {
  for (;;) {
    const connection = libc().accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0) return connection;
    const error = errno();
    // ECONNABORTED: it was gone before we came.
    if (error === EAGAIN || error === 103) return -1;
    if (error !== EINTR) check(connection, "Cannot accept a connection");
  }
}

/**
 * The user of the process at the other side: the one that connected, or that listened.
 *
 * Safety: the buffer has all bytes of struct ucred.
 */
export function peerUser(fd: number): number {
  const facts = new Uint8Array(UCRED_BYTES);
  const length = Uint32Array.of(UCRED_BYTES);
  check(
    libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, facts, length),
    "Cannot find out which user is at the other side",
  );
  return new Uint32Array(facts.buffer)[1]!;
}

/** Sends all of `bytes`, waiting while the other side's buffer is full. */
export function send(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  let done = 0;
  while (done < bytes.length) {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    const put = libc().send(fd, rest, rest.length, MSG_NOSIGNAL);
    if (put >= 0) done += put;
    else if (errno() !== EINTR) check(put, "Cannot send");
  }
}

/**
 * Sends what there is room for now, without waiting.
 *
 * @returns Bytes sent; 0 if there is no room; -1 when the other side is gone.
 */
export function sendNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const put = libc().send(fd, bytes, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put >= 0) return put;
    const error = errno();
    if (error === EAGAIN) return 0;
    if (error === 32 /* EPIPE */ || error === ECONNRESET) return -1;
    if (error !== EINTR) check(put, "Cannot send");
  }
}

/**
 * Receives what is there, up to the length of `into`.
 *
 * @param wait Whether to block until there is something.
 * @returns Bytes received; 0 when the other side is gone; -1 if there is nothing now.
 */
export function receive(fd: number, into: Uint8Array<ArrayBuffer>, wait: boolean): number {
  for (;;) {
    const got = libc().recv(fd, into, into.length, wait ? 0 : MSG_DONTWAIT);
    if (got >= 0) return got;
    const error = errno();
    if (error === EAGAIN) return -1;
    if (error === ECONNRESET) return 0;
    if (error !== EINTR) check(got, "Cannot receive");
  }
}
