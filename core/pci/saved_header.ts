import { BAR0, COMMAND } from "./config_space.ts";
import type { Registers } from "./registers.ts";

/** End of the standard header. */
const END = 0x40;

/**
 * Remembers what was written into the header of a bridge: bus numbers, windows, BARs, and whether it is on.
 *
 * @returns Writes it again, where a reset has changed it.
 */
export function saveHeader(config: Registers): () => void {
  const words: number[] = [];
  for (let offset = BAR0; offset < END; offset += 4) words.push(config.read32(offset));
  const command = config.read16(COMMAND);
  return () => {
    words.forEach((word, i) => {
      const offset = BAR0 + 4 * i;
      if (config.read32(offset) !== word) config.write32(offset, word);
    });
    // Last: nothing may be passed on until it is known what.
    if (config.read16(COMMAND) !== command) config.write16(COMMAND, command);
  };
}
