import { Status } from "@virtio/deno/plugin";
import { BlockOperation } from "@virtio/deno/classes/block";

/** Which requests are counted, under Linux's names (Documentation/block/stat). */
const NAMES: Readonly<Record<string, number>> = {
  read: BlockOperation.read,
  write: BlockOperation.write,
  flush: BlockOperation.flush,
  discard: BlockOperation.discard,
  write_zeroes: BlockOperation.writeZeroes,
};

/** What the driver counts; counting makes no garbage. */
export class Statistics {
  /** Abort commands that were sent. */
  aborts = 0;
  readonly #requests = new Float64Array(Object.keys(BlockOperation).length);
  readonly #sectors = new Float64Array(this.#requests.length);
  readonly #ends = new Float64Array(Object.keys(Status).length);

  /** A request ended: sectors count if it succeeded. */
  count(operation: number, status: number, sectors: number): void {
    this.#requests[operation]!++;
    this.#ends[status]!++;
    if (status === Status.ok) this.#sectors[operation]! += sectors;
  }

  /** All of it, for people. */
  read(): Record<string, number> {
    const named = Object.entries(NAMES).flatMap(([name, operation]) => [
      [`${name}_ios`, this.#requests[operation]!],
      ...(name === "flush" ? [] : [[`${name}_sectors`, this.#sectors[operation]!]]),
    ]);
    return {
      ...Object.fromEntries(named),
      io_errors: this.#ends[Status.failed]!,
      refused: this.#ends[Status.refused]!,
      aborts: this.aborts,
    };
  }
}
