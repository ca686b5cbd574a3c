const BLOCK = 65536;

/** Bytes of which only what was written takes space; the rest is zero. Positions must be safe integers. */
export class SparseMemory {
  readonly #blocks = new Map<number, Uint8Array<ArrayBuffer>>();

  /** How many bytes are really there. */
  get allocated(): number {
    return this.#blocks.size * BLOCK;
  }

  /** Fills `into` with what stands from `position` on. */
  read(position: number, into: Uint8Array): void {
    each(position, into.length, (index, start, done, length) => {
      const block = this.#blocks.get(index);
      if (block) into.set(block.subarray(start, start + length), done);
      else into.fill(0, done, done + length);
    });
  }

  /** Puts `bytes` at `position`. */
  write(position: number, bytes: Uint8Array): void {
    each(position, bytes.length, (index, start, done, length) => {
      let block = this.#blocks.get(index);
      if (!block) this.#blocks.set(index, block = new Uint8Array(BLOCK));
      block.set(bytes.subarray(done, done + length), start);
    });
  }

  /** Makes `bytes` bytes from `position` on zero, and gives back what space it can. */
  clear(position: number, bytes: number): void {
    each(position, bytes, (index, start, _done, length) => {
      if (length === BLOCK) this.#blocks.delete(index);
      else this.#blocks.get(index)?.fill(0, start, start + length);
    });
  }
}

/** Cuts a range at the ends of blocks. */
function each(
  position: number,
  bytes: number,
  visit: (index: number, start: number, done: number, length: number) => void,
): void {
  for (let done = 0; done < bytes;) {
    const at = position + done;
    const start = at % BLOCK;
    const length = Math.min(BLOCK - start, bytes - done);
    visit((at - start) / BLOCK, start, done, length);
    done += length;
  }
}
