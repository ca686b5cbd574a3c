import type { Buffer } from "@virtio/deno/plugin";
import type { Doorbells } from "./doorbells.ts";
import * as wire from "./wire.ts";

/** What a queue pair is made of. */
export interface QueuePairOptions {
  /** Its number, of both queues; that of the admin queues is 0. */
  readonly id: number;
  /** Entries of both. */
  readonly entries: number;
  /** Identifiers of commands that may be used: 0 up to this. */
  readonly identifiers: number;
  /** Memory of the submission queue, and where in it this one begins. */
  readonly submission: Buffer;
  /** Memory of the completion queue, likewise all zeroes. */
  readonly completion: Buffer;
  /** Where its doorbells are. */
  readonly doorbells: Doorbells;
}

/** Where a command is. */
const Place = { nowhere: 0, begun: 1, published: 2 } as const;

/** Called with the identifier of a command that ended, its status, and dword 0 of its completion. */
export type Collect = (cid: number, status: number, result: number) => void;

/**
 * A submission queue and its completion queue (base 2.0, 3.3.1): commands go in, and each comes back once. What the controller
 * writes is read once and held against what it was given; the first thing that cannot be is thrown.
 */
export class QueuePair {
  /** Its number. */
  readonly id: number;
  /** Dwords of the submission queue, for the arguments of a command after {@linkcode begin}. */
  readonly sq: Uint32Array;
  readonly #cq: Int32Array;
  readonly #entries: number;
  readonly #doorbells: Doorbells;
  /** Where the command of each identifier is: a {@linkcode Place}. */
  readonly #places: Uint8Array;
  /** Identifier of the command in each entry of the submission queue: the controller can write to the entry itself. */
  readonly #cids: Uint16Array;
  #inFlight = 0;
  #tail = 0;
  /** The tail that the controller was told. */
  #shown = 0;
  /** Where the controller said that it reads next. */
  #fetched = 0;
  #head = 0;
  #phase = wire.DW3_PHASE;

  constructor({ id, entries, identifiers, submission, completion, doorbells }: QueuePairOptions) {
    this.id = id;
    this.#entries = entries;
    this.#doorbells = doorbells;
    const { buffer } = submission.bytes;
    this.sq = new Uint32Array(buffer, submission.offset, entries * wire.SQE_DWORDS);
    this.#cq = new Int32Array(buffer, completion.offset, entries * wire.CQE_DWORDS);
    this.#places = new Uint8Array(identifiers);
    this.#cids = new Uint16Array(entries);
  }

  /** Commands that have not ended. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether one more fits, with room for its completion. */
  get room(): boolean {
    return this.#inFlight < this.#entries - 1;
  }

  /** Whether a command has not ended. */
  has(cid: number): boolean {
    return this.#places[cid] !== Place.nowhere;
  }

  /**
   * Begins a command; there must be room, and its identifier must not be in use.
   *
   * @returns Where its dwords are in {@linkcode sq}, all 0 but the first two.
   */
  begin(cid: number, opcode: number, nsid: number): number {
    const at = this.#tail * wire.SQE_DWORDS;
    this.sq.fill(0, at, at + wire.SQE_DWORDS);
    this.sq[at] = opcode | cid << 16;
    this.sq[at + wire.NSID] = nsid;
    this.#cids[this.#tail] = cid;
    this.#places[cid] = Place.begun;
    this.#tail = this.#after(this.#tail);
    this.#inFlight++;
    return at;
  }

  /** Shows the controller what was begun. */
  publish(): void {
    if (this.#tail === this.#shown) return;
    for (let index = this.#shown; index !== this.#tail; index = this.#after(index)) {
      this.#places[this.#cids[index]!] = Place.published;
    }
    this.#doorbells.ring(2 * this.id, this.#tail, this.#shown);
    this.#shown = this.#tail;
  }

  /**
   * Takes completions.
   *
   * @returns How many there were.
   * @throws Error If one cannot be.
   */
  drain(collect: Collect): number {
    const cq = this.#cq;
    const before = this.#head;
    let count = 0;
    for (; count < this.#entries; count++) {
      const at = this.#head * wire.CQE_DWORDS;
      const dw3 = Atomics.load(cq, at + wire.DW3);
      if ((dw3 & wire.DW3_PHASE) !== this.#phase) break;
      const dw2 = cq[at + wire.DW2]!;
      const result = cq[at]! >>> 0;
      this.#head = this.#after(this.#head);
      if (this.#head === 0) this.#phase ^= wire.DW3_PHASE;
      const cid = dw3 & 0xffff;
      this.#check(cid, dw2 >>> 16, dw2 & 0xffff);
      this.#fetched = dw2 & 0xffff;
      this.#places[cid] = Place.nowhere;
      this.#inFlight--;
      collect(cid, dw3 >>> wire.DW3_STATUS_SHIFT & wire.STATUS, result);
    }
    if (count > 0) this.#doorbells.ring(2 * this.id + 1, this.#head, before);
    return count;
  }

  #after(index: number): number {
    return index + 1 === this.#entries ? 0 : index + 1;
  }

  #check(cid: number, sqid: number, sqhd: number): void {
    if (this.#places[cid] !== Place.published) {
      this.#refuse(`ended command ${cid}, which is not in flight`);
    }
    if (sqid !== this.id) this.#refuse(`ended a command of submission queue ${sqid}`);
    const size = this.#entries;
    const outstanding = (this.#shown - this.#fetched + size) % size;
    if (sqhd >= size || (sqhd - this.#fetched + size) % size > outstanding) {
      this.#refuse(`is at entry ${sqhd} of the submission queue, where no command is`);
    }
  }

  #refuse(what: string): never {
    throw new Error(`On queue ${this.id} the controller ${what}`);
  }
}
