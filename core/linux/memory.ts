// Files in memory, and their pages in place of those of a WebAssembly memory.

import { check, errno, OsError } from "./os_error.ts";
import { addressOf, cString, libc } from "./libc.ts";
import { MAP_SHARED, PROT_READ_WRITE } from "./numbers.ts";

/** Shared memory comes in WebAssembly pages of this many bytes. */
export const GRANULE = 65536;

const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MFD_HUGE_2MB = 21 << 26;
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

/** Bytes of a huge page. */
export const HUGE_PAGE: number = 2 ** 21;

/**
 * An anonymous file of huge pages, closed on exec. They are taken from those that the machine has set aside, and stay
 * where they are in its memory.
 *
 * @param size Bytes, a multiple of {@linkcode HUGE_PAGE}.
 */
export function hugeMemoryFile(name: string, size: number): number {
  const fd = check(
    libc().memfd_create(
      cString(name),
      MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB,
    ),
    "Cannot create memory of huge pages",
  );
  // Whatever is missing shows now, and not as a bus error later.
  if (
    libc().ftruncate(fd, BigInt(size)) >= 0 && libc().fallocate(fd, 0, 0n, BigInt(size)) >= 0 &&
    libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) >= 0
  ) return fd;
  const error = new OsError(`Cannot have ${size / HUGE_PAGE} huge pages`, errno());
  libc().close(fd);
  throw error;
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

/** The most bytes that one shared memory can have: V8 allows no more. */
export const MOST_SHARED: number = 2 ** 34;
/** The pages that a WebAssembly address of 32 bits reaches. */
const PAGES_OF_32_BITS = 65536;

/**
 * Maps `size` bytes of a file, from `offset`, as memory that typed arrays and `Atomics` work on and that other
 * processes and devices see.
 *
 * Safety: the pages of a shared WebAssembly memory of our own are replaced, in place, by pages of the file; V8
 * keeps the range reserved, so nothing else can be there. The mapping lives until the last handle of the buffer
 * is collected; it is never unmapped by hand, because V8 would unmap whatever came to stand there. Where the file ends
 * inside the range, a touch behind its end is a bus error: the caller knows its size, and that it does not shrink.
 *
 * @param fd The file; not closed here.
 * @param offset First byte, a multiple of 4096.
 * @param size Length in bytes, a multiple of 4096. The buffer is as long, up to a multiple of {@linkcode GRANULE}: what
 * is behind `size` is memory of this process.
 * @param alignment What its address must be a multiple of: {@linkcode HUGE_PAGE} for a file of huge pages.
 */
export function mapShared(
  fd: number,
  offset: number,
  size: number,
  alignment = 4096,
): SharedArrayBuffer {
  // Written so that no NaN passes.
  if (!(size > 0 && size % 4096 === 0 && offset % 4096 === 0)) {
    throw new RangeError(`Cannot map ${size} bytes at ${offset}: not whole pages`);
  }
  const buffer = reserveShared(size, alignment);
  place(buffer, 0, size, MAP_SHARED, fd, offset);
  return buffer;
}

/**
 * Puts bytes of a file where they are in the file, too: at the same offset of the buffer.
 *
 * Safety: as for {@linkcode mapShared}. The range must be whole pages of the buffer, which it is checked for, and of
 * the file, which the caller knows.
 */
export function placeFile(
  buffer: SharedArrayBuffer,
  offset: number,
  size: number,
  fd: number,
): void {
  place(buffer, offset, size, MAP_SHARED, fd, offset);
}

/** Each try lands next to the one before it; so often something is put between. */
const TRIES = 64;

/**
 * Shared memory of this process, zero, of `size` bytes up to a multiple of {@linkcode GRANULE}; its pages are there once
 * they are touched. There is no way to ask V8 for an alignment: what stands in the way is filled until it fits.
 */
export function reserveShared(size: number, alignment = 4096): SharedArrayBuffer {
  const fillers: SharedArrayBuffer[] = [];
  for (let tries = 0; tries < TRIES; tries++) {
    const buffer = reserve(size);
    const beyond = Number(addressOf(new Uint8Array(buffer)) % BigInt(alignment));
    if (beyond === 0) return buffer;
    // Allocated downwards, so the next one of this size fits if what is beyond the boundary is taken.
    fillers.push(buffer, reserve(beyond));
  }
  throw new Error(
    `Cannot allocate shared memory at a multiple of ${alignment} (${fillers.length} tries)`,
  );
}

function reserve(size: number): SharedArrayBuffer {
  const pages = Math.ceil(size / GRANULE);
  const { buffer } = pages > PAGES_OF_32_BITS
    ? memoryOf64Bits(pages)
    : new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError("Cannot allocate shared memory");
  return buffer;
}

/** A memory whose addresses have 64 bits (WebAssembly 3.0), which TypeScript does not know yet. */
function memoryOf64Bits(pages: number): WebAssembly.Memory {
  const size = BigInt(pages);
  const type = { address: "i64", initial: size, maximum: size, shared: true };
  return new WebAssembly.Memory(type as unknown as WebAssembly.MemoryDescriptor);
}

/**
 * Puts private zero pages where a mapping was, so that code that still holds the buffer is cut off from the
 * device and from other processes.
 *
 * Safety: as for {@linkcode mapShared}; the buffer stays usable, it only is shared no more.
 *
 * @param offset First byte, a multiple of 4096.
 * @param size Length in bytes, likewise; all of the buffer, if both are left out.
 */
export function disconnect(
  buffer: SharedArrayBuffer,
  offset = 0,
  size: number = buffer.byteLength,
): void {
  place(buffer, offset, size, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

function place(
  buffer: SharedArrayBuffer,
  at: number,
  size: number,
  flags: number,
  fd: number,
  offset: number,
): void {
  if (!(at >= 0 && at % 4096 === 0 && size > 0 && at + size <= buffer.byteLength)) {
    throw new RangeError(`Cannot map ${size} bytes at ${at} of a memory: it has none there`);
  }
  const address = addressOf(new Uint8Array(buffer)) + BigInt(at);
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
