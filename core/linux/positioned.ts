import { libc } from "./libc.ts";

/**
 * Access to a file at given positions, in units of 1, 2 or 4 bytes, little-endian, each one call: what the registers of
 * a device are like where they cannot be mapped.
 */
export interface Positioned {
  /** Reads; all ones if nothing answers, as on a bus. */
  read(position: number, width: 1 | 2 | 4): number;
  /** Writes; nothing happens if nothing answers. */
  write(position: number, width: 1 | 2 | 4, value: number): void;
  /** Forgets the descriptor, which the owner closes: from now on nothing answers. */
  end(): void;
}

/** Access to an open file, from `start` on. */
export function positioned(fd: number, start: number): Positioned {
  const { pread, pwrite } = libc();
  const cell = new Uint8Array(4);
  const word = new Uint32Array(cell.buffer);
  const base = BigInt(start);
  let over = false;
  return {
    read(position, width) {
      word[0] = 0;
      const got = over ? -1 : pread(fd, cell, width, base + BigInt(position));
      return got === width ? word[0]! : 2 ** (8 * width) - 1;
    },
    write(position, width, value) {
      word[0] = value;
      if (!over) pwrite(fd, cell, width, base + BigInt(position));
    },
    end() {
      over = true;
    },
  };
}
