import type { Work } from "./segments.ts";
import * as wire from "./wire.ts";

/** The fields of each type of counts that the model keeps, by type (virtio 1.4, 5.1.9.5.11). */
const FIELDS: Readonly<Record<number, number>> = { 0: 6, 1: 4, 16: 6, 17: 2, 18: 6, 32: 2 };

/** What a device counts (virtio 1.4, 5.1.9.5.11). */
export class Statistics {
  /** Counts of each queue by their type, in the order of the specification; the control queue is the last. */
  readonly #counts: readonly Readonly<Record<number, Float64Array>>[];

  /** All zero. */
  constructor(pairs: number) {
    const fields = (types: readonly number[]) =>
      Object.fromEntries(types.map((type) => [type, new Float64Array(FIELDS[type]!)]));
    this.#counts = [
      ...Array.from({ length: 2 * pairs }, (_, queue) => fields(queue % 2 ? [16, 17, 18] : [0, 1])),
      fields([32]),
    ];
  }

  /** The types that it counts, as the answer to `STATS_QUERY`. */
  get types(): Uint8Array {
    const bits = Object.keys(FIELDS).reduce((all, type) => all | 1n << BigInt(type), 0n);
    return new Uint8Array(BigUint64Array.of(bits).buffer);
  }

  /** A command came that is going to be done. */
  command(): void {
    const counts = this.#of(this.#counts.length - 1, 32);
    counts[0]!++;
    counts[1]!++;
  }

  /** It could not be done. */
  failed(): void {
    this.#of(this.#counts.length - 1, 32)[1]!--;
  }

  /** A frame went to the driver. */
  received(pair: number, bytes: number, flags: number): void {
    const counts = this.#of(2 * pair, 0);
    counts[1]!++;
    counts[2]! += bytes;
    const sums = this.#of(2 * pair, 1);
    const which = flags & wire.HDR_F_DATA_VALID ? 0 : flags & wire.HDR_F_NEEDS_CSUM ? 1 : 2;
    sums[which]!++;
  }

  /** There was no room for a frame. */
  dropped(pair: number): void {
    const counts = this.#of(2 * pair, 0);
    counts[4]!++;
    counts[5]!++;
  }

  /** A frame came from the driver. */
  sent(pair: number, bytes: number, { flags, gsoType, gsoSize }: Work): void {
    const queue = 2 * pair + 1;
    const counts = this.#of(queue, 16);
    counts[1]!++;
    counts[2]! += bytes;
    this.#of(queue, 17)[flags & wire.HDR_F_NEEDS_CSUM ? 1 : 0]!++;
    if (gsoType === wire.GSO_NONE) return;
    const cut = this.#of(queue, 18);
    cut[0]!++;
    cut[1]! += bytes;
    cut[2]! += Math.ceil(bytes / gsoSize);
    cut[3]! += bytes;
  }

  /** The answer to `STATS_GET`, cut off where there is no more room; undefined if it asks for what there is not. */
  get(asked: DataView, control: number, room: number): Uint8Array | undefined {
    const replies: Uint8Array[] = [];
    for (let at = 0; at < asked.byteLength; at += 16) {
      const queue = asked.getUint16(at, true);
      const types = asked.getBigUint64(at + 8, true);
      const counts = this.#counts[queue === control ? this.#counts.length - 1 : queue];
      if (!counts || (queue !== control && queue >= this.#counts.length - 1)) return undefined;
      for (let type = 0; type < 64; type++) {
        if (!(types >> BigInt(type) & 1n)) continue;
        const fields = counts[type];
        if (!fields) return undefined;
        replies.push(reply(type, queue, fields));
      }
    }
    const all = new Uint8Array(replies.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const each of replies) {
      all.set(each, at);
      at += each.length;
    }
    return all.subarray(0, room);
  }

  #of(queue: number, type: number): Float64Array {
    return this.#counts[queue]![type]!;
  }
}

function reply(type: number, queue: number, fields: Float64Array): Uint8Array {
  const bytes = new Uint8Array(wire.STATS_HEADER_BYTES + 8 * fields.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint16(2, queue, true);
  view.setUint16(6, bytes.length, true);
  fields.forEach((count, i) =>
    view.setBigUint64(wire.STATS_HEADER_BYTES + 8 * i, BigInt(count), true)
  );
  return bytes;
}
