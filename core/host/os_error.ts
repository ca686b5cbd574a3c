import { libc } from "./libc.ts";

/** A system call that failed. */
export class OsError extends Error {
  override readonly name = "OsError";
  /** Symbolic name of the error, for example `"ENOENT"`. */
  readonly code: string;
  /** Its number. */
  readonly errno: number;

  /** Makes the error of `action`, for example `"Cannot open /dev/vfio/1"`. */
  constructor(action: string, errno: number) {
    const { strerror, strerrorname_np } = libc();
    const code = text(strerrorname_np(errno)) ?? `errno ${errno}`;
    super(`${action}: ${code} (${text(strerror(errno)) ?? "unknown error"})`);
    this.code = code;
    this.errno = errno;
  }
}

function text(pointer: Deno.PointerValue): string | undefined {
  // Safety: strerror and strerrorname_np return static C strings or null.
  return pointer === null ? undefined : new Deno.UnsafePointerView(pointer).getCString();
}

let cell: Int32Array | undefined;

/**
 * The error number of the last failed call of this thread.
 *
 * Safety: glibc keeps `errno` at a fixed address for each thread, and a Deno isolate never changes its thread.
 * It is only meaningful directly after a synchronous call.
 */
export function errno(): number {
  if (!cell) {
    const address = libc().__errno_location();
    if (address === null) throw new Error("Cannot find errno");
    cell = new Int32Array(new Deno.UnsafePointerView(address).getArrayBuffer(4));
  }
  return cell[0]!;
}

/** Returns `result`, or throws an {@linkcode OsError} named after `action` if it is negative. */
export function check(result: number, action: string): number {
  if (result < 0) throw new OsError(action, errno());
  return result;
}
