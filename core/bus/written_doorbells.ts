/**
 * Doorbells that a driver's process cannot reach itself: it leaves the latest value of each in control memory and rings,
 * and the core writes it to the device. However often one is written, nothing piles up and nothing is lost.
 *
 * @module
 */

import { checkAccess, type Registers } from "../pci/registers.ts";
import { ControlWord, DOORBELLS } from "./control.ts";

type Words = Int32Array<SharedArrayBuffer>;

const VALUES = DOORBELLS / 4;
const { doorbellsWritten } = ControlWord;

/**
 * Makes the function that a driver's process writes a doorbell with, in place of a call to the core.
 *
 * @param bytes Size of the window that they are in.
 * @param ring Tells the core.
 */
export function doorbellWriter(
  words: Words,
  bytes: number,
  ring: () => void,
): Registers["write32"] {
  return (offset, value) => {
    checkAccess(bytes, offset, 4);
    const index = offset >> 2;
    Atomics.store(words, VALUES + index, value);
    Atomics.or(words, doorbellsWritten + (index >> 5), 1 << (index & 31));
    ring();
  };
}

/**
 * Writes to the device what a driver's process has written to doorbells since.
 *
 * @param window The window that it was granted; without one there are none.
 * @returns How many there were.
 */
export function passDoorbells(words: Words, window: Registers | undefined): number {
  let passed = 0;
  const count = window ? window.size >> 2 : 0;
  for (let index = 0; index < count; index += 32) {
    const word = doorbellsWritten + (index >> 5);
    let written = Atomics.load(words, word) && Atomics.exchange(words, word, 0);
    while (written !== 0) {
      const bit = 31 - Math.clz32(written & -written);
      written &= written - 1;
      if (index + bit >= count) continue;
      window!.write32((index + bit) * 4, Atomics.load(words, VALUES + index + bit) >>> 0);
      passed++;
    }
  }
  return passed;
}
