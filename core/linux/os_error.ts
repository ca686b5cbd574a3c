import { libc } from "./libc.ts";

/** A system call that failed. */
export class OsError extends Error {
  /** The class, for `catch` blocks that cannot import it. */
  override readonly name = "OsError";
  /** Symbolic name of the error, for example `"ENOENT"`. */
  readonly code: string;
  /** Its number. */
  readonly errno: number;

  /** Makes the error of `action`, for example `"Cannot open /dev/vfio/1"`; `advice` says what to do about it. */
  constructor(action: string, errno: number, advice?: string) {
    const { strerror, strerrorname_np } = libc();
    const code = text(strerrorname_np(errno)) ?? `errno ${errno}`;
    const meaning = `${action}: ${code} (${text(strerror(errno)) ?? "unknown error"})`;
    super(advice === undefined ? meaning : `${meaning}; ${advice}`);
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

/**
 * Does something, and says of the errors that are known what to do about them.
 *
 * @param action What fails if it fails.
 * @param advice What to do, by the code of the error.
 */
export function advise<T>(
  action: string,
  advice: Readonly<Record<string, string>>,
  call: () => T,
): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    throw new OsError(action, error.errno, advice[error.code]);
  }
}
