// What kind of file something is, and whether two are the same.

import { errno, OsError } from "./os_error.ts";
import { cString, libc } from "./libc.ts";

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_SYMLINK_NOFOLLOW = 0x100;
/** struct statx: 256 bytes, of which the mode is at 28, the inode at 32, the numbers of its device at 136. */
const STATX_BYTES = 256;
const STATX_TYPE_AND_INODE = 0x1 | 0x100;
const ENOENT = 2;

/** What a file is. */
export type FileKind =
  | "file"
  | "folder"
  | "named pipe"
  | "socket"
  | "character device"
  | "block device"
  | "symbolic link";

const KINDS: Readonly<Record<number, FileKind>> = {
  0o01: "named pipe",
  0o02: "character device",
  0o04: "folder",
  0o06: "block device",
  0o10: "file",
  0o12: "symbolic link",
  0o14: "socket",
};

/** What a file is, and which one. */
export interface FileIdentity {
  readonly kind: FileKind;
  /** The same for the same file only, while it is there. */
  readonly id: string;
}

/** What an open file is. */
export function kindOf(fd: number): FileKind {
  return statx(fd, "", AT_EMPTY_PATH, "an open file")!.kind;
}

/** Which file stands at a path, a symbolic link itself included; undefined if there is none. */
export function identityOf(path: string): FileIdentity | undefined {
  return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, path);
}

/** What a path leads to; undefined if that is not there. */
export function kindAt(path: string): FileKind | undefined {
  return statx(AT_FDCWD, path, 0, path)?.kind;
}

function statx(
  folder: number,
  path: string,
  flags: number,
  called: string,
): FileIdentity | undefined {
  const facts = new Uint8Array(STATX_BYTES);
  const got = libc().statx(folder, cString(path), flags, STATX_TYPE_AND_INODE, facts);
  if (got < 0) {
    const error = errno();
    if (error === ENOENT) return undefined;
    throw new OsError(`Cannot look at ${called}`, error);
  }
  const view = new DataView(facts.buffer);
  const kind = KINDS[view.getUint16(28, true) >> 12] ?? "file";
  const device = `${view.getUint32(136, true)}:${view.getUint32(140, true)}`;
  return { kind, id: `${device}:${view.getBigUint64(32, true)}` };
}
