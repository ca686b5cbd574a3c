/**
 * Descriptors that travel with bytes over a Unix socket (SCM_RIGHTS): each is a new name for the same open file, in
 * the process that receives it.
 *
 * @module
 */

import { close } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";
import { check, errno, OsError } from "./os_error.ts";
import { EAGAIN, ECONNRESET, EINTR, MSG_DONTWAIT, MSG_NOSIGNAL, SOL_SOCKET } from "./numbers.ts";

const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** The most descriptors that Linux sends with one message (SCM_MAX_FD). */
export const MOST_DESCRIPTORS = 253;

// A buffer with a struct msghdr, its struct iovec, and the control message behind both: struct cmsghdr, descriptors.
const VECTOR_AT = 16, VECTORS = 24, CONTROL_AT = 32, CONTROL_BYTES = 40, FLAGS = 48;
const VECTOR = 56;
const CONTROL = 72;
const CONTROL_HEADER = 16;
const DESCRIPTOR_BYTES = 4;

/**
 * A message header around `bytes`, with room for `count` descriptors.
 *
 * Safety: it holds the addresses of itself and of `bytes`, and keeps neither alive: its maker holds both
 * until the one call for which it is made has returned.
 */
function messageHeader(bytes: Uint8Array<ArrayBuffer>, count: number): DataView<ArrayBuffer> {
  const control = count === 0 ? 0 : CONTROL_HEADER + DESCRIPTOR_BYTES * count;
  // At least a header, so that there is one to look at.
  const message = new Uint8Array(CONTROL + CONTROL_HEADER + Math.ceil(count / 2) * 8);
  const view = new DataView(message.buffer);
  const address = addressOf(message);
  view.setBigUint64(VECTOR_AT, address + BigInt(VECTOR), true);
  view.setBigUint64(VECTORS, 1n, true);
  if (control > 0) {
    view.setBigUint64(CONTROL_AT, address + BigInt(CONTROL), true);
    view.setBigUint64(CONTROL_BYTES, BigInt(control), true);
  }
  view.setBigUint64(VECTOR, bytes.length === 0 ? 0n : addressOf(bytes), true);
  view.setBigUint64(VECTOR + 8, BigInt(bytes.length), true);
  return view;
}

function checkCount(count: number): void {
  if (Number.isInteger(count) && count >= 0 && count <= MOST_DESCRIPTORS) return;
  throw new RangeError(`Cannot pass ${count} descriptors: at most ${MOST_DESCRIPTORS} go together`);
}

/**
 * Sends all of `bytes`, and with the first of them copies of descriptors, which stay the caller's.
 *
 * Safety: the kernel reads the addresses in the message header only during the call, and all the buffers are held
 * by this function until it returns.
 *
 * @throws {OsError} If it cannot: EAGAIN where a socket that does not block has no room for all of it. Then a part may
 * have gone, so the connection is of no more use.
 */
export function sendDescriptors(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  descriptors: readonly number[],
): void {
  checkCount(descriptors.length);
  let done = 0;
  do {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    const count = done === 0 ? descriptors.length : 0;
    const view = messageHeader(rest, count);
    if (count > 0) {
      view.setBigUint64(CONTROL, BigInt(CONTROL_HEADER + DESCRIPTOR_BYTES * count), true);
      view.setInt32(CONTROL + 8, SOL_SOCKET, true);
      view.setInt32(CONTROL + 12, SCM_RIGHTS, true);
      descriptors.forEach((descriptor, i) =>
        view.setInt32(CONTROL + CONTROL_HEADER + DESCRIPTOR_BYTES * i, descriptor, true)
      );
    }
    const put = libc().sendmsg(fd, new Uint8Array(view.buffer), MSG_NOSIGNAL);
    if (put >= 0) done += put;
    else if (errno() !== EINTR) check(put, "Cannot send descriptors");
  } while (done < bytes.length);
}

/** More descriptors came with a message than it may have. All of them are closed. */
export class TooManyDescriptors extends Error {
  /** Tells the error apart. */
  override readonly name = "TooManyDescriptors";
}

/**
 * Receives what is there, up to the length of `into`, and the descriptors that came with it, closed on exec.
 *
 * Bytes of two messages come together in one call if only the second has descriptors; so `into` must end where
 * the message ends, for a descriptor to be of the message with which it came.
 *
 * Safety: as for {@linkcode sendDescriptors}. The kernel writes at most the room that the header names.
 *
 * @param most How many descriptors may come, up to {@linkcode MOST_DESCRIPTORS}.
 * @param descriptors Those that came are added at its end, and are the caller's to close.
 * @param wait Whether to block until there is something.
 * @returns Bytes received; 0 when the other side is gone; -1 if there is nothing now.
 * @throws {TooManyDescriptors} If more came. The bytes are lost with them.
 */
export function receiveDescriptors(
  fd: number,
  into: Uint8Array<ArrayBuffer>,
  most: number,
  descriptors: number[],
  wait: boolean,
): number {
  checkCount(most);
  if (into.length === 0) {
    throw new RangeError("Cannot receive into no bytes: it looks like the end");
  }
  for (;;) {
    const view = messageHeader(into, most);
    const flags = MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT);
    const got = libc().recvmsg(fd, new Uint8Array(view.buffer), flags);
    if (got < 0) {
      const error = errno();
      if (error === EAGAIN) return -1;
      if (error === ECONNRESET) return 0;
      if (error === EINTR) continue;
      throw new OsError("Cannot receive", error);
    }
    const came = passed(view);
    if (view.getInt32(FLAGS, true) & MSG_CTRUNC) {
      came.forEach(close);
      throw new TooManyDescriptors(
        most === 0
          ? "Descriptors came with a message that has none"
          : `More than ${most} descriptors came with a message`,
      );
    }
    descriptors.push(...came);
    return got;
  }
}

/** The descriptors in a message header that was received. Of stream sockets without options, there is nothing else. */
function passed(view: DataView<ArrayBuffer>): number[] {
  if (view.getBigUint64(CONTROL_BYTES, true) < BigInt(CONTROL_HEADER)) return [];
  if (view.getInt32(CONTROL + 8, true) !== SOL_SOCKET) return [];
  if (view.getInt32(CONTROL + 12, true) !== SCM_RIGHTS) return [];
  const bytes = Number(view.getBigUint64(CONTROL, true)) - CONTROL_HEADER;
  return Array.from(
    { length: Math.floor(bytes / DESCRIPTOR_BYTES) },
    (_, i) => view.getInt32(CONTROL + CONTROL_HEADER + DESCRIPTOR_BYTES * i, true),
  );
}
