/**
 * Writes archives that the Linux kernel unpacks as its first file system: cpio, format "newc" (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * @module
 */

/** Something in an archive. */
export interface Entry {
  /** Where, without a slash at its begin. */
  readonly path: string;
  /** Kind and permissions, as in `st_mode`. */
  readonly mode: number;
  /** What a file holds, or where a link leads. */
  readonly bytes: Uint8Array;
}

const FOLDER = 0o040755, FILE = 0o100644, PROGRAM = 0o100755, LINK = 0o120777;
const NOTHING = new Uint8Array();

/** An empty folder. The folders above an entry need not be named. */
export function folder(path: string): Entry {
  return { path, mode: FOLDER, bytes: NOTHING };
}

/** A file to read. */
export function file(path: string, bytes: Uint8Array): Entry {
  return { path, mode: FILE, bytes };
}

/** A file to run. */
export function program(path: string, bytes: Uint8Array): Entry {
  return { path, mode: PROGRAM, bytes };
}

/** A symbolic link. */
export function link(path: string, target: string): Entry {
  return { path, mode: LINK, bytes: new TextEncoder().encode(target) };
}

/** An archive of these entries, all owned by root. Archives may be put one behind the other; later files win. */
export function* cpio(entries: Iterable<Entry>): Generator<Uint8Array> {
  const folders = new Set<string>();
  for (const entry of entries) {
    for (let at = 0; (at = entry.path.indexOf("/", at)) > 0; at++) {
      const above = entry.path.slice(0, at);
      if (!folders.has(above)) yield* record(folder(above), folders.add(above).size);
    }
    yield* record(entry, 0);
  }
  yield* record({ path: "TRAILER!!!", mode: 0, bytes: NOTHING }, 0);
}

function* record({ path, mode, bytes }: Entry, inode: number): Generator<Uint8Array> {
  const name = new TextEncoder().encode(`${path}\0`);
  const links = mode === FOLDER ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
  const header = "070701" + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  yield new TextEncoder().encode(header);
  yield name;
  yield padding(header.length + name.length);
  yield bytes;
  yield padding(bytes.length);
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}
