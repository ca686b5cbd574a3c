// What kind of file something is, and whether two are the same.

import { errno, OsError } from "./os_error.ts";
import { cString, libc } from "./libc.ts";

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_SYMLINK_NOFOLLOW = 0x100;
/** struct statx: 256 bytes, of which block size (4), mode (28), inode (32), size (40) and the numbers of its device (136) are read. */
const STATX_BYTES = 256;
const STATX_TYPE_INODE_AND_SIZE = 0x1 | 0x100 | 0x200;
const F_GET_SEALS = 1034;
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
  /** The same for the same file only, while it is there or open or mapped. */
  readonly id: string;
  /** Its length in bytes; 0 for what has none. */
  readonly size: number;
  /** Bytes that are best used together: of a file of huge pages, such a page. */
  readonly blockSize: number;
}

/** What can never happen to a memory file any more (F_ADD_SEALS): bits of {@linkcode sealsOf}. */
export const Seal = { SEAL: 1, SHRINK: 2, GROW: 4, WRITE: 8, FUTURE_WRITE: 16 } as const;

/** What an open file is. */
export function kindOf(fd: number): FileKind {
  return identityOfOpen(fd).kind;
}

/** What an open file is, and which one. */
export function identityOfOpen(fd: number): FileIdentity {
  return statx(fd, "", AT_EMPTY_PATH, "an open file")!;
}

/** The seals of an open file, bits of {@linkcode Seal}; 0 for one that has none because it is no memory file. */
export function sealsOf(fd: number): number {
  return Math.max(0, libc().fcntl(fd, F_GET_SEALS, 0));
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
  const got = libc().statx(folder, cString(path), flags, STATX_TYPE_INODE_AND_SIZE, facts);
  if (got < 0) {
    const error = errno();
    if (error === ENOENT) return undefined;
    throw new OsError(`Cannot look at ${called}`, error);
  }
  const view = new DataView(facts.buffer);
  const kind = KINDS[view.getUint16(28, true) >> 12] ?? "file";
  const device = `${view.getUint32(136, true)}:${view.getUint32(140, true)}`;
  const size = Number(view.getBigUint64(40, true));
  return {
    kind,
    id: `${device}:${view.getBigUint64(32, true)}`,
    size,
    blockSize: view.getUint32(4, true),
  };
}
