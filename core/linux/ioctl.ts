import { check } from "./os_error.ts";
import { libc } from "./libc.ts";

/**
 * A request to a device's driver with a structure, which the driver may change.
 *
 * Safety: the kernel reads and writes as many bytes as the structure of `request` has, so `structure` must have them
 * all. Those of VFIO say their own length, and the kernel keeps to it.
 *
 * @param what What fails if it fails, for example `"Cannot map DMA memory"`.
 * @returns What the driver answers, never negative.
 */
export function ioctl(
  fd: number,
  request: number,
  structure: Uint8Array<ArrayBuffer>,
  what: string,
): number {
  return check(libc().ioctl(fd, request, structure), what);
}

/** A request with a number, or with none. */
export function ioctlNumber(fd: number, request: number, number: number, what: string): number {
  return check(libc().ioctl_number(fd, request, BigInt(number)), what);
}
