// A request whose buffers lie in pieces, for device models.

import type { Request } from "./model.ts";

/** A buffer, or a part of one. */
export type Piece = Uint8Array<SharedArrayBuffer>;

/** A request whose buffers lie in pieces. */
export class PieceRequest implements Request {
  readonly #from: Cursor;
  readonly #into: Cursor;
  readonly #room: number;
  readonly #finish: (written: number) => void;
  readonly #isThere: () => boolean;
  #answered = false;

  /**
   * Makes the request.
   *
   * @param pieces The first `readable` of them are to read, the others to write.
   * @param finish Called once, with the answer.
   * @param isThere Asked before each access, whether the buffers may be used: if not, they seem to have ended.
   */
  constructor(
    pieces: readonly Piece[],
    readable: number,
    finish: (written: number) => void,
    isThere: () => boolean = () => true,
  ) {
    this.#from = new Cursor(pieces, 0, readable);
    this.#into = new Cursor(pieces, readable, pieces.length);
    this.#room = this.#into.left;
    this.#finish = finish;
    this.#isThere = isThere;
  }

  get readable(): number {
    return this.#isThere() ? this.#from.left : 0;
  }

  get writable(): number {
    return this.#isThere() ? this.#into.left : 0;
  }

  get written(): number {
    return this.#room - this.#into.left;
  }

  read(into: Uint8Array): number {
    let done = 0;
    while (done < into.length && this.readable > 0) {
      const piece = this.nextReadable(into.length - done);
      if (piece.length === 0) break;
      into.set(piece, done);
      done += piece.length;
    }
    return done;
  }

  write(bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length && this.writable > 0) {
      const piece = this.nextWritable(bytes.length - done);
      if (piece.length === 0) break;
      piece.set(piece.length === bytes.length ? bytes : bytes.subarray(done, done + piece.length));
      done += piece.length;
    }
    return done;
  }

  nextReadable(most = Infinity): Piece {
    return this.#isThere() ? this.#from.next(most) : NOTHING;
  }

  nextWritable(most = Infinity): Piece {
    return this.#isThere() ? this.#into.next(most) : NOTHING;
  }

  complete(written: number): void {
    if (this.#answered) throw new Error("Cannot complete a request: it was answered already");
    if (!(Number.isInteger(written) && written >= 0 && written <= this.#room)) {
      throw new RangeError(
        `Cannot complete a request with ${written} bytes: it has room for ${this.#room}`,
      );
    }
    this.#answered = true;
    this.#finish(written);
  }
}

const NOTHING = new Uint8Array(new SharedArrayBuffer(0));

/** A place in a part of a list of pieces. */
class Cursor {
  left = 0;
  readonly #pieces: readonly Piece[];
  readonly #end: number;
  #piece: number;
  #offset = 0;

  constructor(pieces: readonly Piece[], start: number, end: number) {
    this.#pieces = pieces;
    this.#piece = start;
    this.#end = end;
    for (let i = start; i < end; i++) this.left += pieces[i]!.length;
  }

  next(most: number): Piece {
    if (this.#piece === this.#end) return NOTHING;
    const piece = this.#pieces[this.#piece]!;
    const start = this.#offset;
    const end = Math.min(piece.length, start + most);
    this.left -= end - start;
    this.#offset = end;
    if (end === piece.length) {
      this.#piece++;
      this.#offset = 0;
    }
    return start === 0 && end === piece.length ? piece : piece.subarray(start, end);
  }
}
