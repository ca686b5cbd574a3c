import { check, errno, OsError } from "./os_error.ts";
import { cString, libc } from "./libc.ts";

/** Shared memory comes in WebAssembly pages of this many bytes. */
export const GRANULE = 65536;

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;

/**
 * An anonymous file of `size` zero bytes, closed on exec, that can never shrink: memory mapped from it cannot
 * turn into a bus error.
 */
export function memoryFile(name: string, size: number): number {
  const fd = check(
    libc().memfd_create(cString(name), MFD_CLOEXEC | MFD_ALLOW_SEALING),
    "Cannot create shared memory",
  );
  check(libc().ftruncate(fd, BigInt(size)), `Cannot size shared memory to ${size} bytes`);
  check(libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), "Cannot seal shared memory");
  return fd;
}

/**
 * Gives whole pages of a memory file back to the system; wherever it is mapped, they read as zero from now on.
 *
 * @param offset First byte, a multiple of 4096.
 * @param size Length in bytes, a multiple of 4096.
 */
export function discard(fd: number, offset: number, size: number): void {
  check(
    libc().fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, BigInt(offset), BigInt(size)),
    "Cannot give shared memory back",
  );
}

/**
 * Maps `size` bytes of a file, from `offset`, as memory that typed arrays and `Atomics` work on and that other
 * processes and devices see.
 *
 * Safety: the pages of a shared WebAssembly memory of our own are replaced, in place, by pages of the file; V8
 * keeps the range reserved, so nothing else can be there. The mapping lives until the last handle of the buffer
 * is collected; it is never unmapped by hand, because V8 would unmap whatever came to stand there.
 *
 * @param fd The file; not closed here.
 * @param offset First byte, a multiple of 4096.
 * @param size Length in bytes, a multiple of {@linkcode GRANULE}.
 */
export function mapShared(fd: number, offset: number, size: number): SharedArrayBuffer {
  if (size <= 0 || size % GRANULE !== 0 || offset % 4096 !== 0) {
    throw new RangeError(`Cannot map ${size} bytes at ${offset}: not whole pages`);
  }
  const pages = size / GRANULE;
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError("Cannot allocate shared memory");
  place(buffer, size, MAP_SHARED, fd, offset);
  return buffer;
}

/**
 * Puts private zero pages where a mapping was, so that whoever still holds the buffer is cut off from the
 * device and from other processes.
 *
 * Safety: as for {@linkcode mapShared}; the buffer stays usable, it only is nobody else's any more.
 */
export function disconnect(buffer: SharedArrayBuffer): void {
  place(buffer, buffer.byteLength, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

function place(
  buffer: SharedArrayBuffer,
  size: number,
  flags: number,
  fd: number,
  offset: number,
): void {
  const address = BigInt(
    Deno.UnsafePointer.value(
      Deno.UnsafePointer.of(new Uint8Array(buffer) as unknown as BufferSource),
    ),
  );
  const mapped = libc().mmap(
    address,
    BigInt(size),
    PROT_READ_WRITE,
    flags | MAP_FIXED,
    fd,
    BigInt(offset),
  );
  if (BigInt(mapped) !== address) throw new OsError(`Cannot map ${size} bytes`, errno());
}
