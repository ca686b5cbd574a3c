import { check, errno } from "./os_error.ts";
import { EAGAIN, EINTR } from "./fd.ts";
import { libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
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
