// Parts of files mapped as registers, for as long as they are needed.

import { check, errno, OsError } from "./os_error.ts";
import { libc } from "./libc.ts";
import { MAP_SHARED, PROT_READ_WRITE } from "./numbers.ts";

const MAP_POPULATE = 0x8000;
const FAILED = 2n ** 64n - 1n;

/** Registers of a device, or any other part of a file, mapped into this process until its owner unmaps it. */
export interface DeviceMemory {
  /** What is mapped. Its length is 0 from the moment it is unmapped, and that of every view of it. */
  readonly buffer: ArrayBuffer;
  /** Ends the mapping; changes nothing the second time. */
  unmap(): void;
}

/**
 * Maps `size` bytes of a device's file.
 *
 * Safety: the buffer is detached before its pages are unmapped, so that no view of it can reach them afterwards. What
 * the device does when its registers are accessed is up to the caller; that the pages do not vanish meanwhile is up to
 * the file: VFIO waits for `unmap` before it lets a device go.
 *
 * @param fd The file; not closed here, and the mapping outlives its being closed.
 * @param offset First byte, a multiple of 4096.
 * @param size Length in bytes, a multiple of 4096.
 */
export function mapDevice(fd: number, offset: number, size: number): DeviceMemory {
  const address = map(fd, offset, size, MAP_SHARED);
  const pointer = Deno.UnsafePointer.create(address)!;
  let buffer: ArrayBuffer | undefined = new Deno.UnsafePointerView(pointer).getArrayBuffer(size);
  return {
    buffer,
    unmap() {
      buffer?.transfer(0);
      if (buffer) unmap(address, size);
      buffer = undefined;
    },
  };
}

/**
 * Maps a part of a memory file for as long as `use` runs, with all its pages there, and tells it the address.
 *
 * Safety: the address means nothing any more when `use` has returned; a caller that needs the pages longer makes the
 * kernel pin them.
 */
export function withPages<T>(
  fd: number,
  offset: number,
  size: number,
  use: (address: bigint) => T,
): T {
  const address = map(fd, offset, size, MAP_SHARED | MAP_POPULATE);
  try {
    return use(address);
  } finally {
    unmap(address, size);
  }
}

function map(fd: number, offset: number, size: number, flags: number): bigint {
  if (size <= 0 || size % 4096 !== 0 || offset % 4096 !== 0) {
    throw new RangeError(`Cannot map ${size} bytes at ${offset}: not whole pages`);
  }
  const address = BigInt(
    libc().mmap(0n, BigInt(size), PROT_READ_WRITE, flags, fd, BigInt(offset)),
  );
  if (address === FAILED) throw new OsError(`Cannot map ${size} bytes of a device`, errno());
  return address;
}

function unmap(address: bigint, size: number): void {
  check(libc().munmap(address, BigInt(size)), "Cannot unmap a device");
}
