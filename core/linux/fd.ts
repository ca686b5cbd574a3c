// Descriptors: eventfds, pipes, and functions that are bound to one of them.

import { callNumber, type Pass } from "./filter.ts";
import { libc } from "./libc.ts";
import { nameOf } from "./name_of.ts";
import { check, errno, OsError } from "./os_error.ts";
import { EAGAIN, EINTR, O_CLOEXEC, O_NONBLOCK } from "./numbers.ts";

const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;

/** Closes a descriptor that the caller owns. */
export function close(fd: number): void {
  libc().close(fd);
}

/** A second descriptor for the same open file, at least `lowest`, closed on exec. */
export function duplicate(fd: number, lowest = 0): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, lowest);
  if (copy < 0) throw failure("Cannot have a second descriptor of", fd);
  return copy;
}

/** A new event counter, zero, non-blocking, closed on exec. */
export function eventfd(): number {
  return check(libc().eventfd(0, O_CLOEXEC | O_NONBLOCK), "Cannot create an eventfd");
}

/** A pipe, `[readable, writable]`, closed on exec; its readable end does not block. */
export function pipe(): [number, number] {
  const ends = new Int32Array(2);
  check(libc().pipe2(ends, O_CLOEXEC), "Cannot create a pipe");
  const [readable, writable] = ends as unknown as [number, number];
  libc().fcntl(readable, F_SETFL, O_NONBLOCK);
  return [readable, writable];
}

/** Makes reads and writes of an open file return at once, here and wherever else it is held. */
export function setNonBlocking(fd: number): void {
  if (libc().fcntl(fd, F_SETFL, O_NONBLOCK) < 0) throw failure("Cannot set up", fd);
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);
const count = new Uint8Array(8);

/** Adds one to an event counter and so wakes the thread that waits on it. */
export function signal(fd: number): void {
  libc().write(fd, ONE, 8);
}

/** Takes an event counter back to zero. Returns whether it had been signalled. */
export function clear(fd: number): boolean {
  return libc().read(fd, count, 8) === 8;
}

/**
 * Reads what is there, up to the length of `into`.
 *
 * @returns Bytes read; 0 at the end of the stream; -1 if a non-blocking descriptor has nothing now.
 */
export function read(fd: number, into: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const got = libc().read(fd, into, into.length);
    if (got >= 0) return got;
    const error = errno();
    if (error === EAGAIN) return -1;
    if (error !== EINTR) throw failure("Cannot read", fd, error);
  }
}

/** Writes all of `bytes`. */
export function writeAll(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  let done = 0;
  while (done < bytes.length) {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    const put = libc().write(fd, rest, rest.length);
    if (put >= 0) done += put;
    else if (errno() !== EINTR) throw failure("Cannot write to", fd);
  }
}

/** `read` or `write`, bound to a descriptor, a buffer and a length that it really has. */
function transfer(
  name: "read" | "write",
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  pass: Pass | undefined,
): () => number {
  const length = bytes.length;
  const { [name]: plain, transfer } = libc();
  if (!pass) return () => plain(fd, bytes, length);
  const number = callNumber(name);
  const [first, second] = pass;
  return () => transfer(number, fd, bytes, length, first, second);
}

/**
 * Writes what there is room for, once.
 *
 * @returns Bytes written; -1 if a non-blocking descriptor has no room now.
 */
export function write(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const put = libc().write(fd, bytes, bytes.length);
    if (put >= 0) return put;
    const error = errno();
    if (error === EAGAIN) return -1;
    if (error !== EINTR) throw failure("Cannot write to", fd, error);
  }
}

/** The error of what could not be done to an open file, by the name that people know it by. */
export function failure(action: string, fd: number, error: number = errno()): OsError {
  return new OsError(`${action} ${nameOf(fd)}`, error);
}

/**
 * Makes a function that writes `message` to `fd` in one call and looks at nothing: for doorbells, where a failure
 * shows elsewhere.
 *
 * This and the next three are for a process that gives up FFI later: what they make is bound to its descriptor, and
 * goes on working.
 *
 * Safety: descriptor, buffer and length are fixed here, and no other code gets hold of them; so what they make is
 * sound in a process whose globals and prototypes a plugin has replaced.
 *
 * @param pass What a filter on this process's calls asks for, if there will be one.
 */
export function writer(fd: number, message: Uint8Array, pass?: Pass): () => void {
  return transfer("write", fd, message.slice(), pass);
}

/** Where a number of 32 bits stands in a message, whose upper half changes from one sending to the next. */
export interface Varying {
  /** Its first byte. */
  readonly at: number;
  /** Little-endian, or eight lower-case hexadecimal digits. */
  readonly form: "u32" | "hex";
}

/** As {@linkcode writer}, of a message whose upper half of one number is given each time, in bits 16 to 31. */
export function varyingWriter(
  fd: number,
  message: Uint8Array,
  { at, form }: Varying,
  pass?: Pass,
): (number: number) => void {
  const bytes = message.slice();
  const write = transfer("write", fd, bytes, pass);
  const digits = new TextEncoder().encode("0123456789abcdef");
  const patch = form === "u32"
    ? (number: number) => {
      bytes[at + 2] = number >> 16;
      bytes[at + 3] = number >> 24;
    }
    : (number: number) => {
      for (let i = 0; i < 4; i++) bytes[at + i] = digits[number >> (28 - 4 * i) & 0xf]!;
    };
  return (number) => {
    patch(number);
    write();
  };
}

/** As {@linkcode signal}, bound to one descriptor. */
export function signaller(fd: number, pass?: Pass): () => void {
  return writer(fd, ONE, pass);
}

/** As {@linkcode clear}, bound to one descriptor. */
export function clearer(fd: number, pass?: Pass): () => boolean {
  const read = transfer("read", fd, new Uint8Array(8), pass);
  return () => read() === 8;
}
