import type { EntropySource } from "./entropy_client.ts";

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
  { local = true, least = sources.length }: MixOptions = {},
): EntropySource {
  if (!Number.isInteger(least) || least < 1 || least > sources.length) {
    throw new RangeError(
      `Cannot mix ${sources.length} sources of which ${least} must deliver: at least one must, and no more than there are`,
    );
  }
  return {
    async read(length) {
      const ends = await Promise.allSettled(sources.map((source) => source.read(length)));
      const reasons = ends.flatMap((end) => end.status === "rejected" ? [end.reason] : []);
      const parts = ends.flatMap((end) => end.status === "fulfilled" ? [end.value] : []);
      if (parts.length < least) {
        throw new AggregateError(
          reasons,
          `Cannot read ${length} random bytes: ${parts.length} of ${sources.length} sources deliver, ${least} must`,
        );
      }
      const mixed = new Uint8Array(length);
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
