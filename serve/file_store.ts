import { close } from "../core/linux/fd.ts";
import { openFile, readAt, sizeOf, sync, writeAt } from "../core/linux/file.ts";
import { discard } from "../core/linux/memory.ts";

/** Bytes that go through memory of our own at once: the system cannot be given shared memory. */
const CHUNK = 1 << 20;

/** The bytes of a file or a block device, for a model of a disk. What cannot be read or written throws. */
export class FileStore implements Disposable {
  /** Bytes that it holds. */
  readonly size: number;
  readonly #fd: number;
  readonly #chunk = new Uint8Array(CHUNK);

  /**
   * Opens it to read and to write.
   *
   * @throws {OsError} If that is not possible.
   */
  constructor(path: string) {
    this.#fd = openFile(path, { read: true, write: true });
    try {
      this.size = sizeOf(this.#fd);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
  }

  /** Fills `into` with what stands from `position` on; what is behind the end reads as zero. */
  read(position: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; done += CHUNK) {
      const part = this.#chunk.subarray(0, Math.min(CHUNK, into.length - done));
      part.fill(0, readAt(this.#fd, part, position + done));
      into.set(part, done);
    }
  }

  /** Puts bytes at a position. */
  write(position: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; done += CHUNK) {
      const part = this.#chunk.subarray(0, Math.min(CHUNK, bytes.length - done));
      part.set(bytes.subarray(done, done + part.length));
      writeAt(this.#fd, part, position + done);
    }
  }

  /** Makes bytes from a position on zero, and gives their space back where the file system can. */
  clear(position: number, bytes: number): void {
    try {
      discard(this.#fd, position, bytes);
    } catch {
      for (let done = 0; done < bytes; done += CHUNK) {
        const part = this.#chunk.subarray(0, Math.min(CHUNK, bytes - done)).fill(0);
        writeAt(this.#fd, part, position + done);
      }
    }
  }

  /** Makes durable what was written. */
  flush(): void {
    sync(this.#fd);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
