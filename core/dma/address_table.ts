/** A contiguous stretch of DMA memory. */
export interface DmaRun {
  /** Address by which the device knows the first byte: a safe integer, a multiple of 4096. */
  readonly address: number;
  /** Length in bytes, a multiple of 4096. */
  readonly length: number;
}

/**
 * Where the device finds a byte of an arena that consists of `runs`, in order.
 *
 * @throws RangeError If it is outside of the arena.
 */
export function deviceAddress(runs: readonly DmaRun[], offset: number): number {
  let rest = offset;
  for (const { address, length } of runs) {
    if (rest >= 0 && rest < length) return address + rest;
    rest -= length;
  }
  throw new RangeError(`Cannot find the device's address of ${offset}: it is outside of the arena`);
}

/** Pages of the address table have this many bytes, whatever the processor's pages are. */
export const PAGE = 4096;
/** Its exponent. */
export const PAGE_SHIFT = 12;

/**
 * What a device calls the pages of an arena, as pairs of 32-bit words, since a 64-bit number in JavaScript costs an
 * allocation.
 */
export interface AddressTable {
  /** Low words, one for each page. */
  readonly low: Uint32Array<ArrayBuffer>;
  /** High words. */
  readonly high: Uint32Array<ArrayBuffer>;
  /** Bytes from the start of each page to the end of the contiguous run that it is in. */
  readonly run: Uint32Array<ArrayBuffer>;
}

/** Makes the table of an arena that consists of `runs`, in order. */
export function addressTable(runs: readonly DmaRun[]): AddressTable {
  const pages = runs.reduce((sum, run) => sum + run.length / PAGE, 0);
  const low = new Uint32Array(pages);
  const high = new Uint32Array(pages);
  const rest = new Uint32Array(pages);
  let page = 0;
  for (const { address, length } of runs) {
    if (
      !Number.isSafeInteger(address) || address < 0 || address % PAGE !== 0 || length <= 0 ||
      length % PAGE !== 0
    ) {
      throw new RangeError(
        `Cannot use ${length} bytes of DMA memory at ${address}: not whole pages`,
      );
    }
    for (let done = 0; done < length; done += PAGE, page++) {
      low[page] = (address + done) % 2 ** 32;
      high[page] = Math.floor((address + done) / 2 ** 32);
      rest[page] = length - done;
    }
  }
  return { low, high, run: rest };
}
