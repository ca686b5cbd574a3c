import * as bus from "@virtio/deno/plugin";
import { BlockOperation } from "@virtio/deno/classes/block";

const { Status } = bus;

/** Which requests are counted together, under Linux's names (Documentation/block/stat); others under like ones. */
const NAMES: Readonly<Record<number, string>> = {
  [BlockOperation.read]: "read",
  [BlockOperation.write]: "write",
  [BlockOperation.discard]: "discard",
  [BlockOperation.flush]: "flush",
  [BlockOperation.writeZeroes]: "write_zeroes",
  [BlockOperation.secureErase]: "secure_erase",
  [BlockOperation.zoneAppend]: "zone_append",
};

/** What the driver counts. */
export interface Statistics {
  /** A request ended: sectors count if it succeeded. */
  count(operation: number, status: number, sectors: number): void;
  /** A request was not passed on. */
  refuse(): void;
  /** All of it, for people. */
  read(): Record<string, number>;
}

/** Makes counters that are 0; counting makes no garbage. */
export function makeStatistics(): Statistics {
  const requests = new Float64Array(Object.keys(BlockOperation).length);
  const moved = new Float64Array(requests.length);
  const ends = new Float64Array(Object.keys(Status).length);
  return {
    count(operation, status, sectors) {
      requests[operation]!++;
      ends[status]!++;
      if (status === Status.ok) moved[operation]! += sectors;
    },
    refuse() {
      ends[Status.refused]!++;
    },
    read() {
      const named = Object.entries(NAMES).flatMap(([operation, name]) => [
        [`${name}_ios`, requests[Number(operation)]!],
        ...(name === "flush" ? [] : [[`${name}_sectors`, moved[Number(operation)]!]]),
      ]);
      const known = named.reduce(
        (sum, [name, count]) => String(name).endsWith("_ios") ? sum + Number(count) : sum,
        0,
      );
      return {
        ...Object.fromEntries(named),
        other_ios: requests.reduce((sum, count) => sum + count, 0) - known,
        io_errors: ends[Status.failed]!,
        unsupported: ends[Status.unsupported]!,
        invalid_answers: ends[Status.invalid]!,
        refused: ends[Status.refused]!,
      };
    },
  };
}
