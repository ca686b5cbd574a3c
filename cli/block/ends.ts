import { abortable } from "@std/async";
import type { BlockDevice } from "../../core/class/block.ts";
import { SECTOR } from "../../core/class/block.ts";
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

/** A part of a disk. */
export class DiskEnd implements Source, Target {
  readonly length: number;
  readonly #disk: BlockDevice;
  readonly #offset: number;

  /** A part whose place and length are multiples of 512; to the end of the disk if no length is given. */
  constructor(disk: BlockDevice, offset: number, length: number = disk.capacity - offset) {
    this.#disk = disk;
    this.#offset = offset;
    this.length = length;
  }

  async read(at: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    const bytes = into.subarray(0, Math.max(0, Math.min(into.length, this.length - at)));
    // The part may end within a sector.
    const whole = bytes.length - bytes.length % SECTOR;
    if (whole > 0) await this.#disk.readInto(this.#offset + at, bytes.subarray(0, whole));
    if (whole < bytes.length) {
      const last = await this.#disk.read(this.#offset + at + whole, SECTOR);
      bytes.set(last.subarray(0, bytes.length - whole), whole);
    }
    return bytes.length;
  }

  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (at + bytes.length > this.length) {
      throw new CliError(
        EXIT.failed,
        `Cannot write behind the end of the disk at ${
          this.#offset + this.length
        }: there is more to write`,
      );
    }
    const whole = bytes.length - bytes.length % SECTOR;
    if (whole > 0) await this.#disk.write(this.#offset + at, bytes.subarray(0, whole));
    if (whole === bytes.length) return;
    // The rest of the last sector stays what it is.
    const last = await this.#disk.read(this.#offset + at + whole, SECTOR);
    last.set(bytes.subarray(whole));
    await this.#disk.write(this.#offset + at + whole, last);
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
      if (!io.write(bytes)) throw new CliError(EXIT.done, "Nobody reads the standard output");
    },
    finish: () => Promise.resolve(),
  };
}
