import type { AddressRange } from "../../linux/vfio.ts";

/** Above what 32 bits hold, so that code that forgets the upper half is found out at once. */
const FIRST = 0x1_0000_0000;
/** The first megabyte is left alone: a forgotten address is most likely to be there. */
const LOWEST = 0x10_0000;
const STEP = 0x20_0000;

/**
 * The addresses that devices know memory by. No two devices get the same, whatever domain they are in, so that one that
 * uses another's address is always found out; and there is a hole after each.
 */
export class DeviceAddresses {
  #next = FIRST;
  /** The same for devices that do not reach so far. */
  #nextLow = LOWEST;

  /**
   * Takes `bytes` in one of the ranges that the IOMMU has.
   *
   * @param bits Bits of an address that the device has: with fewer than most have, it gets low ones.
   * @throws RangeError If none is long enough.
   */
  take(bytes: number, ranges: readonly AddressRange[], bits = 64): number {
    const last = 2 ** bits - 1;
    const low = ranges.map(({ start, end }) => ({ start, end: Math.min(end, last) }));
    const wide = last > FIRST;
    const start = find(bytes, low, wide ? this.#next : this.#nextLow) ?? find(bytes, low, LOWEST);
    if (start === undefined) {
      throw new RangeError(
        `Cannot give a device ${bytes} bytes: the IOMMU has no range of addresses so long` +
          (wide ? "" : ` below ${bits} bits`),
      );
    }
    const next = up(start + bytes) + STEP;
    if (wide) this.#next = next;
    else this.#nextLow = next;
    return start;
  }
}

function find(bytes: number, ranges: readonly AddressRange[], from: number): number | undefined {
  for (const { start, end } of ranges) {
    const address = up(Math.max(start, from));
    if (address + bytes - 1 <= end) return address;
  }
  return undefined;
}

function up(address: number): number {
  return Math.ceil(address / STEP) * STEP;
}
