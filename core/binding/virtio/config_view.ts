import type { Config } from "../../plugin/plugin.ts";

/**
 * A copy of device configuration, as drivers read it.
 *
 * @param given Its bytes.
 */
export function configView(given: ArrayLike<number>): Config {
  const bytes = Uint8Array.from(given);
  const view = new DataView(bytes.buffer);
  const inside = (offset: number, width: number) => offset >= 0 && offset + width <= bytes.length;
  return {
    length: bytes.length,
    u8: (offset) => inside(offset, 1) ? view.getUint8(offset) : 0,
    u16: (offset) => inside(offset, 2) ? view.getUint16(offset, true) : 0,
    u32: (offset) => inside(offset, 4) ? view.getUint32(offset, true) : 0,
    u64: (offset) => inside(offset, 8) ? view.getBigUint64(offset, true) : 0n,
  };
}
