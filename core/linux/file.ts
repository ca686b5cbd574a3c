// Files, read and written by calls that say what failed.

import { check, errno, OsError } from "./os_error.ts";
import { cString, libc } from "./libc.ts";
import { close, failure, read, writeAll } from "./fd.ts";
import { EINTR, LOCK_EX, LOCK_NB, O_CLOEXEC, O_DIRECTORY, O_NONBLOCK } from "./numbers.ts";

const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const EBUSY = 16;
const SEEK_SET = 0;
const SEEK_CUR = 1;
const SEEK_END = 2;
const X_OK = 1;
const R_AND_W_OK = 6;
/** Longest file that is read whole. What the core reads is small: manifests, sysfs, id tables. */
const LONGEST = 64 << 20;

/** Opens a file; `flags` are those of open(2), for example 0 to read, 1 to write, 2 for both. */
export function open(path: string, flags: 0 | 1 | 2): number {
  return check(libc().open(cString(path), flags | O_CLOEXEC, 0), `Cannot open ${path}`);
}

/** What a file is opened for, and what is done if it is there or not. */
export interface FileUse {
  /** Its bytes are read. */
  readonly read?: boolean;
  /** Its bytes are written. */
  readonly write?: boolean;
  /** It is made if it is not there; `"new"`: and must not be there. */
  readonly create?: boolean | "new";
  /** What it holds goes away. */
  readonly truncate?: boolean;
  /** Neither opening it nor reading and writing waits for the other side: of a named pipe, a terminal. */
  readonly nonBlocking?: boolean;
}

/** Opens a file that a user named. A new one may be read and written by all users that the umask lets. */
export function openFile(path: string, use: FileUse): number {
  const { read, write, create, truncate, nonBlocking } = use;
  const flags = (write ? read ? 2 : 1 : 0) | O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0) |
    (create ? O_CREAT : 0) | (create === "new" ? O_EXCL : 0) | (truncate ? O_TRUNC : 0);
  return check(libc().open(cString(path), flags, 0o666), `Cannot open ${path}`);
}

/**
 * Bytes that a file or a block device holds.
 *
 * @throws OsError If it is a pipe or the like, which holds none.
 */
export function sizeOf(fd: number): number {
  const { lseek } = libc();
  const seek = (offset: number, from: number) => {
    const place = Number(lseek(fd, BigInt(offset), from));
    if (place < 0) throw failure("Cannot find the size of", fd);
    return place;
  };
  const place = seek(0, SEEK_CUR);
  const end = seek(0, SEEK_END);
  seek(place, SEEK_SET);
  return end;
}

/**
 * Reads from byte `offset` on, as much as there is and `into` has room for.
 *
 * @returns Bytes read; fewer than `into` has only at the end of the file.
 */
export function readAt(fd: number, into: Uint8Array<ArrayBuffer>, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const rest = done === 0 ? into : into.subarray(done);
    const got = libc().pread(fd, rest, rest.length, BigInt(offset + done));
    if (got === 0) break;
    if (got > 0) done += got;
    else if (errno() !== EINTR) throw failure(`Cannot read at ${offset + done} of`, fd);
  }
  return done;
}

/** Writes all of `bytes` from byte `offset` on. */
export function writeAt(fd: number, bytes: Uint8Array<ArrayBuffer>, offset: number): void {
  let done = 0;
  while (done < bytes.length) {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    const put = libc().pwrite(fd, rest, rest.length, BigInt(offset + done));
    if (put >= 0) done += put;
    else if (errno() !== EINTR) throw failure(`Cannot write at ${offset + done} of`, fd);
  }
}

/** Waits until what was written to a file is durable. */
export function sync(fd: number): void {
  if (libc().fsync(fd) < 0) throw failure("Cannot make durable what was written to", fd);
}

/** Opens a file to read and write that no other program of ours has, and keeps it from them until it is closed. */
export function openAlone(path: string): number {
  const fd = open(path, 2);
  try {
    check(libc().flock(fd, LOCK_EX | LOCK_NB), `Cannot have ${path} alone`);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * Whether a block device is claimed: mounted, swapped to, or part of something larger. Opens it for a moment, and reads
 * nothing.
 *
 * @returns undefined if that cannot be told: it is not there, or may not be opened.
 */
export function isClaimed(path: string): boolean | undefined {
  // open(2): without O_CREAT, O_EXCL fails for a block device that the system uses. A drive may be empty.
  const fd = libc().open(cString(path), O_EXCL | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return errno() === EBUSY ? true : undefined;
  close(fd);
  return false;
}

/** The bytes of a small file. */
export function readFile(path: string): Uint8Array<ArrayBuffer> {
  // A named pipe has no bytes to wait for.
  const fd = openFile(path, { read: true, nonBlocking: true });
  try {
    let bytes = new Uint8Array(16384);
    let length = 0;
    for (;;) {
      if (length === bytes.length) {
        if (length >= LONGEST) {
          throw new RangeError(`Cannot read ${path}: longer than ${LONGEST} bytes`);
        }
        const larger = new Uint8Array(length * 2);
        larger.set(bytes);
        bytes = larger;
      }
      const got = read(fd, bytes.subarray(length));
      if (got <= 0) return bytes.subarray(0, length);
      length += got;
    }
  } finally {
    close(fd);
  }
}

/** The text of a small UTF-8 file. */
export function readText(path: string): string {
  return new TextDecoder().decode(readFile(path));
}

/** Writes a text to a file that is there, in one call, as the attributes of sysfs want it. */
export function writeText(path: string, text: string): void {
  const fd = open(path, 1);
  try {
    writeAll(fd, new TextEncoder().encode(text));
  } catch (error) {
    throw error instanceof OsError
      ? new OsError(`Cannot write ${JSON.stringify(text)} to ${path}`, error.errno)
      : error;
  } finally {
    close(fd);
  }
}

/** Where a symbolic link points, or undefined if there is none. */
export function readLink(path: string): string | undefined {
  const target = new Uint8Array(4096);
  const length = libc().readlink(cString(path), target, target.length);
  return length < 0 ? undefined : new TextDecoder().decode(target.subarray(0, length));
}

/** A path from the root on, where it may be one from this program's folder on; as it is if that is not known. */
export function absolutePath(path: string): string {
  const folder = path.startsWith("/") ? undefined : readLink("/proc/self/cwd");
  return folder === undefined ? path : `${folder}/${path}`;
}

/** The URL of a file or folder, whose name may hold what means something else in a URL. */
export function fileUrl(path: string): string {
  return new URL(`file://${absolutePath(path).split("/").map(encodeURIComponent).join("/")}`).href;
}

/** Names in a folder, sorted, without `.` and `..`. */
export function readFolder(path: string): string[] {
  const fd = check(libc().open(cString(path), O_DIRECTORY | O_CLOEXEC, 0), `Cannot open ${path}`);
  const names: string[] = [];
  const entries = new Uint8Array(32768);
  const view = new DataView(entries.buffer);
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const length = check(libc().getdents64(fd, entries, entries.length), `Cannot list ${path}`);
      if (length === 0) break;
      // struct linux_dirent64: inode 8, offset 8, record length 2, type 1, name with NUL.
      for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
        const name = entries.subarray(at + 19, entries.indexOf(0, at + 19));
        names.push(decoder.decode(name));
      }
    }
  } finally {
    close(fd);
  }
  return names.filter((name) => name !== "." && name !== "..").sort();
}

/** Makes a folder, for all users that the umask lets, in one that is there. */
export function makeFolder(path: string): void {
  check(libc().mkdir(cString(path), 0o777), `Cannot make the folder ${path}`);
}

/** Gives a file another name; what had that name before is gone, at no moment is there none. */
export function rename(from: string, to: string): void {
  check(libc().rename(cString(from), cString(to)), `Cannot rename ${from} to ${to}`);
}

/** Takes a name of a file, or of a socket, away. Whether there was one does not matter. */
export function unlink(path: string): void {
  libc().unlink(cString(path));
}

/** Whether a path exists, as far as this user can see. */
export function exists(path: string): boolean {
  return libc().access(cString(path), 0) === 0;
}

/** Whether this process may read and write a file. */
export function access(path: string): boolean {
  return libc().access(cString(path), R_AND_W_OK) === 0;
}

/** The path of a program: `name` itself if it has a slash, else the first match in `PATH`. */
export function findProgram(name: string): string | undefined {
  if (name.includes("/")) return libc().access(cString(name), X_OK) === 0 ? name : undefined;
  for (const folder of (environment().PATH ?? "/usr/local/bin:/usr/bin:/bin").split(":")) {
    const path = `${folder || "."}/${name}`;
    if (libc().access(cString(path), X_OK) === 0) return path;
  }
  return undefined;
}

/** The environment that this process was started with, read without `--allow-env`. */
export function environment(): Record<string, string> {
  const entries = readText("/proc/self/environ").split("\0").filter((entry) => entry.includes("="));
  return Object.fromEntries(entries.map((entry) => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)];
  }));
}

/** Longest path, with its NUL (PATH_MAX). */
const LONGEST_PATH = 4096;

/** Where a path leads when all links in it are followed. */
export function realPath(path: string): string {
  const bytes = new Uint8Array(LONGEST_PATH);
  if (libc().realpath(cString(path), bytes) === null) {
    throw new OsError(`Cannot find ${path}`, errno());
  }
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
