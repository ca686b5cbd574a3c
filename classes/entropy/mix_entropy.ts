import { argument } from "../../core/class/mod.ts";
import type { EntropySource } from "./client.ts";

/** How to mix. */
export interface MixOptions {
  /** Whether bytes of the operating system go in, too; true if left out. Without them, two equal sources give zeroes. */
  readonly local?: boolean;
  /** How many of the sources must deliver; all of them if left out. */
  readonly least?: number;
}

/** As many as `getRandomValues` makes at once. */
const PIECE = 65536;

/**
 * Mixes sources: each byte is the exclusive or of one from each, so that the result is as good as the best of them,
 * whatever the others do, unless they know what that gives. No source ever takes the place of another.
 *
 * @example
 * ```ts
 * import { mixEntropy } from "@virtio/deno";
 *
 * const zeroes = { read: (length: number) => Promise.resolve(new Uint8Array(length)) };
 * const bytes = await mixEntropy([zeroes, zeroes]).read(32);
 * console.log(bytes.some((byte) => byte !== 0)); // true
 * ```
 *
 * @returns A source. It throws an `AggregateError` with the reasons if fewer sources deliver than must.
 * @throws RangeError If there are fewer sources than must deliver.
 */
export function mixEntropy(
  sources: readonly EntropySource[],
  options: MixOptions = {},
): EntropySource {
  const where = "mixEntropy";
  const all = argument.list(sources, where, "sources") as EntropySource[];
  for (const [i, source] of all.entries()) argument.record(source, where, `sources[${i}]`);
  argument.integer(all.length, where, "sources.length", 1);
  const { local = true, least = all.length } = argument.record(options, where, "options");
  argument.flag(local, where, "options.local");
  argument.integer(least, where, "options.least", 1, all.length);
  return {
    async read(length) {
      argument.integer(length, where, "length");
      const action = `Cannot read ${length} random bytes`;
      const mixed = argument.room(length, action);
      const ends = await Promise.allSettled(all.map(async (source) => {
        const part = argument.bytes(await source.read(length), where, "source.read()");
        argument.integer(part.length, where, "source.read().length", length, length);
        return part;
      }));
      const reasons = ends.flatMap((end) => end.status === "rejected" ? [end.reason] : []);
      const parts = ends.flatMap((end) => end.status === "fulfilled" ? [end.value] : []);
      if (parts.length < least) {
        throw new AggregateError(
          reasons,
          `${action}: ${parts.length} of ${all.length} sources deliver, ${least} must`,
        );
      }
      for (let at = 0; local && at < length; at += PIECE) {
        crypto.getRandomValues(mixed.subarray(at, at + PIECE));
      }
      for (const part of parts) {
        for (let i = 0; i < length; i++) mixed[i]! ^= part[i]!;
        part.fill(0);
      }
      return mixed;
    },
  };
}
