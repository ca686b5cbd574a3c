import { check, errno } from "./os_error.ts";
import { close, EAGAIN, EINTR } from "./fd.ts";
import { cString, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
/** Bytes of a Unix socket's path, its NUL included: what struct sockaddr_un has room for. */
const PATH_BYTES = 108;
const BACKLOG = 16;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Two connected stream sockets, closed on exec. */
export function socketPair(): [number, number] {
  const ends = new Int32Array(2);
  check(
    libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
    "Cannot create a socket pair",
  );
  return [ends[0]!, ends[1]!];
}

/**
 * A socket that listens at a path of the file system, closed on exec. The path must be free; the caller unlinks it
 * when it is closed.
 */
export function listenUnix(path: string): number {
  const name = cString(path);
  if (name.length > PATH_BYTES) {
    throw new RangeError(
      `Cannot listen at ${path}: a socket's path has at most ${PATH_BYTES - 1} bytes`,
    );
  }
  // struct sockaddr_un: family 2, path.
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  const kind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = check(libc().socket(AF_UNIX, kind, 0), "Cannot create a socket");
  try {
    check(libc().bind(fd, address, address.length), `Cannot listen at ${path}`);
    check(libc().listen(fd, BACKLOG), `Cannot listen at ${path}`);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
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
    if (error === 32 /* EPIPE */ || error === 104 /* ECONNRESET */) return -1;
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
    if (error === 104 /* ECONNRESET */) return 0;
    if (error !== EINTR) check(got, "Cannot receive");
  }
}

/**
 * Sends `bytes` together with copies of descriptors.
 *
 * Safety: the kernel reads the addresses in the message header only during the call, and all the buffers are held
 * by this function until it returns.
 */
export function sendDescriptors(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  descriptors: readonly number[],
): void {
  // struct msghdr 56 bytes, struct iovec 16, then struct cmsghdr 16 with the descriptors, padded to 8.
  const HEADER = 0, VECTOR = 56, CONTROL = 72;
  const controlLength = 16 + 4 * descriptors.length;
  const message = new Uint8Array(CONTROL + Math.ceil(controlLength / 8) * 8);
  const view = new DataView(message.buffer);
  const base = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(message)));
  view.setBigUint64(HEADER + 16, base + BigInt(VECTOR), true);
  view.setBigUint64(HEADER + 24, 1n, true);
  if (descriptors.length > 0) {
    view.setBigUint64(HEADER + 32, base + BigInt(CONTROL), true);
    view.setBigUint64(HEADER + 40, BigInt(message.length - CONTROL), true);
    view.setBigUint64(CONTROL, BigInt(controlLength), true);
    view.setInt32(CONTROL + 8, SOL_SOCKET, true);
    view.setInt32(CONTROL + 12, SCM_RIGHTS, true);
    descriptors.forEach((descriptor, i) => view.setInt32(CONTROL + 16 + 4 * i, descriptor, true));
  }
  view.setBigUint64(VECTOR, BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes))), true);
  view.setBigUint64(VECTOR + 8, BigInt(bytes.length), true);
  check(libc().sendmsg(fd, message, MSG_NOSIGNAL), "Cannot send descriptors");
}
