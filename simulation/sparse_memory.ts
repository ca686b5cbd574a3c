const PIECE = 65536;

/** Bytes of which only what was written takes space; the rest is zero. Positions must be safe integers. */
export class SparseMemory {
  readonly #pieces = new Map<number, Uint8Array<ArrayBuffer>>();

  /** How many bytes are really there. */
  get allocated(): number {
    return this.#pieces.size * PIECE;
  }

  /** Fills `into` with what stands from `position` on. */
  read(position: number, into: Uint8Array): void {
    each(position, into.length, (index, start, done, length) => {
      const piece = this.#pieces.get(index);
      if (piece) into.set(piece.subarray(start, start + length), done);
      else into.fill(0, done, done + length);
    });
  }

  /** Puts `bytes` at `position`. */
  write(position: number, bytes: Uint8Array): void {
    each(position, bytes.length, (index, start, done, length) => {
      let piece = this.#pieces.get(index);
      if (!piece) this.#pieces.set(index, piece = new Uint8Array(PIECE));
      piece.set(bytes.subarray(done, done + length), start);
    });
  }

  /** Makes `bytes` bytes from `position` on zero, and gives back what space it can. */
  clear(position: number, bytes: number): void {
    each(position, bytes, (index, start, _done, length) => {
      if (length === PIECE) this.#pieces.delete(index);
      else this.#pieces.get(index)?.fill(0, start, start + length);
    });
  }
}

/** Cuts a range at the ends of pieces. */
function each(
  position: number,
  bytes: number,
  visit: (index: number, start: number, done: number, length: number) => void,
): void {
  for (let done = 0; done < bytes;) {
    const at = position + done;
    const start = at % PIECE;
    const length = Math.min(PIECE - start, bytes - done);
    visit((at - start) / PIECE, start, done, length);
    done += length;
  }
}
