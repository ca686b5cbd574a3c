import {
  close,
  type FileKind,
  kindAt,
  kindOf,
  openFile,
  pollAsync,
  POLLIN,
  POLLOUT,
  read,
  readAt,
  sizeOf,
  sync,
  write,
  writeAt,
} from "../core/linux/mod.ts";
import { delay } from "@std/async";
import type { Context } from "./command.ts";
import { CliError, EXIT, exitCode, messageOf } from "./exit.ts";

/** What a file is for: to be read; to be made anew and written; or to be read again afterwards, too. */
export type FileUse = "read" | "write" | "write and read back";

/** How often to look whether the other side or the end of the program has come, in milliseconds. */
const LOOK = 100;
/** No reader at the other end of a named pipe. */
const ENXIO = 6;

/**
 * A file that a user named: a file, a block device, or what is read and written from front to back only, a named pipe
 * or a character device. Waits for the other side of a pipe as long as the command may go on, and no longer.
 */
export class UserFile implements Disposable {
  /** As the user wrote it. */
  readonly path: string;
  /** Bytes that it holds; undefined if that shows at its end. */
  readonly length: number | undefined;
  /** Open, and not blocking. */
  readonly fd: number;
  readonly #signal: AbortSignal;
  /** Whether its bytes can be reached in any order. */
  readonly #seekable: boolean;

  private constructor(path: string, fd: number, signal: AbortSignal) {
    this.path = path;
    this.fd = fd;
    this.#signal = signal;
    this.#seekable = isSeekable(kindOf(fd));
    this.length = this.#seekable ? sizeOf(fd) : undefined;
  }

  /**
   * Opens it.
   *
   * @throws {CliError} With status 5 if that is not permitted, else 1: a sentence says what is wrong with it.
   */
  static async open(
    { signal }: Pick<Context, "signal">,
    path: string,
    use: FileUse,
  ): Promise<UserFile> {
    const action = `Cannot ${use === "read" ? "read" : "write"} ${path}`;
    const wrong = (why: string) => new CliError(EXIT.failed, `${action}: ${why}`);
    try {
      const kind = kindAt(path);
      if (kind === "folder" || kind === "socket") throw wrong(`it is a ${kind}`);
      if (kind === undefined && use === "read") throw wrong("there is no such file");
      if (kind !== undefined && use === "write and read back" && !isSeekable(kind)) {
        throw wrong(`it is a ${kind}, from which nothing can be read back and compared`);
      }
      return new UserFile(path, await openPatiently(path, use, signal), signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof CliError) throw error;
      const exit = exitCode(error) === EXIT.permission ? EXIT.permission : EXIT.failed;
      throw new CliError(exit, messageOf(error), { cause: error });
    }
  }

  /** Fills `into` with the bytes from `at` on. Returns how many: fewer only at the end. */
  async read(at: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    if (this.#seekable) return readAt(this.fd, into, at);
    let done = 0;
    while (done < into.length) {
      // Before there was a writer, a named pipe seems to be at its end.
      await this.#ready(POLLIN);
      const got = read(this.fd, into.subarray(done));
      if (got === 0) break;
      done += Math.max(0, got);
    }
    return done;
  }

  /** Writes bytes from `at` on. */
  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#seekable) return writeAt(this.fd, bytes, at);
    for (let rest = bytes; rest.length > 0;) {
      const put = write(this.fd, rest);
      if (put < 0) await this.#ready(POLLOUT);
      else rest = rest.subarray(put);
    }
  }

  /** Makes what was written durable, where that means something. */
  finish(): Promise<void> {
    if (this.#seekable) sync(this.fd);
    return Promise.resolve();
  }

  async #ready(event: number): Promise<void> {
    for (let seen = 0; seen === 0;) {
      this.#signal.throwIfAborted();
      seen = await pollAsync(Int32Array.of(this.fd, event), 1, LOOK);
    }
  }

  [Symbol.dispose](): void {
    close(this.fd);
  }
}

function isSeekable(kind: FileKind): boolean {
  return kind === "file" || kind === "block device";
}

/** Opens a file; a named pipe has to have a reader before it can be written. */
async function openPatiently(path: string, use: FileUse, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return openFile(path, {
        read: use !== "write",
        write: use !== "read",
        create: use !== "read",
        truncate: use !== "read",
        nonBlocking: true,
      });
    } catch (error) {
      if ((error as { readonly errno?: number }).errno !== ENXIO) throw error;
      await delay(LOOK);
    }
  }
}
