import { type BlockDevice, readWhole } from "../../classes/block/mod.ts";
import { abortable } from "@std/async";
import type { Context } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import type { Io } from "../io.ts";

/** Where bytes come from: read from front to back. */
export interface Source {
  /** How many there are; undefined if that shows at the end. */
  readonly length: number | undefined;
  /** Fills `into` with the bytes from `at` on. Returns how many: fewer only at the end. */
  read(at: number, into: Uint8Array<ArrayBuffer>): Promise<number>;
}

/** Where bytes go: written from front to back, but for the last pieces in any order. */
export interface Target {
  /** Writes bytes from `at` on. */
  write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Makes them durable. */
  finish(): Promise<void>;
}

/**
 * A part of a disk, from any byte to any byte. Disks are written in whole blocks: where the part begins or ends within
 * one, the block is read, and written with the rest of it as it was. No other program should write there meanwhile.
 */
export class DiskEnd implements Source, Target {
  readonly length: number;
  readonly #disk: BlockDevice;
  readonly #offset: number;
  /** Settles when what was written within blocks is there: what comes next may be about the same block. */
  #patched: Promise<void> = Promise.resolve();

  /** A part that begins at `offset`; to the end of the disk if no length is given. */
  constructor(disk: BlockDevice, offset: number, length: number = disk.capacity - offset) {
    this.#disk = disk;
    this.#offset = offset;
    this.length = length;
  }

  async read(at: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    const disk = this.#disk;
    const bytes = into.subarray(0, Math.max(0, Math.min(into.length, this.length - at)));
    if (bytes.length === 0) return 0;
    await readWhole(
      disk.blockSize,
      this.#offset + at,
      bytes,
      (offset, bytes) => disk.readInto(offset, bytes),
    );
    return bytes.length;
  }

  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { blockSize } = this.#disk;
    const start = this.#offset + at;
    const end = start + bytes.length;
    if (at + bytes.length > this.length) {
      throw new CliError(
        EXIT.failed,
        `Cannot write behind the end of the disk at ${
          this.#offset + this.length
        }: there is more to write`,
      );
    }
    const first = Math.ceil(start / blockSize) * blockSize;
    const last = Math.floor(end / blockSize) * blockSize;
    // Within one block.
    if (last < first) return await this.#patch(start, bytes);
    const middle = bytes.subarray(first - start, last - start);
    await Promise.all([
      this.#patch(start, bytes.subarray(0, first - start)),
      middle.length > 0 ? this.#disk.write(first, middle) : undefined,
      this.#patch(last, bytes.subarray(last - start)),
    ]);
  }

  /** Writes within a block. */
  #patch(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (bytes.length === 0) return Promise.resolve();
    const disk = this.#disk;
    const patched = this.#patched.then(async () => {
      const start = offset - offset % disk.blockSize;
      const block = await disk.read(start, disk.blockSize);
      block.set(bytes, offset - start);
      await disk.write(start, block);
    });
    this.#patched = patched.catch(() => {});
    return patched;
  }

  async finish(): Promise<void> {
    await this.#disk.flush();
  }
}

/** The standard input. What never comes there is not waited for when the command must end. */
export function inputEnd({ io: { input }, signal }: Pick<Context, "io" | "signal">): Source {
  return {
    length: undefined,
    async read(_at, into) {
      let done = 0;
      while (done < into.length) {
        const got = await abortable(input.read(into.subarray(done)), signal);
        if (got === null) break;
        done += got;
      }
      return done;
    },
  };
}

/** The standard output. */
export function outputEnd(io: Io): Target {
  if (io.terminal) {
    throw new CliError(
      EXIT.usage,
      "Cannot write the bytes of a disk to a terminal: name a file, or pipe them to a program",
    );
  }
  return {
    // deno-lint-ignore require-await -- so that errors are rejections
    async write(_at, bytes) {
      if (!io.write(bytes)) throw new CliError(EXIT.done, "The standard output was closed");
    },
    finish: () => Promise.resolve(),
  };
}
