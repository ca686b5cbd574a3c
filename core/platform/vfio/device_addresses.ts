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

  /**
   * Takes `bytes` in one of the ranges that the IOMMU has.
   *
   * @throws RangeError If none is long enough.
   */
  take(bytes: number, ranges: readonly AddressRange[]): number {
    const start = find(bytes, ranges, this.#next) ?? find(bytes, ranges, LOWEST);
    if (start === undefined) {
      throw new RangeError(
        `Cannot give a device ${bytes} bytes: the IOMMU has no range of addresses so long`,
      );
    }
    this.#next = up(start + bytes) + STEP;
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
