import type { ClientLane, Done } from "../../core/class/mod.ts";
import * as protocol from "./protocol.ts";
import type { SlotRequests } from "./slots.ts";

const { BlockWord } = protocol;

/** Requests of a device of blocks: records of the lane `requests`, as the protocol has them. */
export class BlockRequests implements SlotRequests {
  readonly bytes: number = 0;
  readonly #lane: ClientLane;

  constructor(lane: ClientLane) {
    this.bytes = lane.slotBytes;
    this.#lane = lane;
  }

  get inFlight(): number {
    return this.#lane.inFlight;
  }

  readonly ended = (): number => this.#lane.ended;

  data(slot: number): Uint8Array<SharedArrayBuffer> {
    return this.#lane.data(slot);
  }

  submit(
    slot: number,
    operation: number,
    sector: number,
    length: number,
    done: Done,
    once: boolean,
  ): void {
    const lane = this.#lane;
    lane.setWord(slot, BlockWord.operation, operation);
    lane.setWord(slot, BlockWord.length, length);
    lane.setWord(slot, BlockWord.sectorLow, sector % 2 ** 32);
    lane.setWord(slot, BlockWord.sectorHigh, Math.floor(sector / 2 ** 32));
    lane.submit(slot, done, once);
  }

  submitStretch(
    slot: number,
    operation: number,
    sector: number,
    sectors: number,
    flags: number,
    done: Done,
  ): void {
    this.#lane.setWord(slot, BlockWord.sectors, sectors);
    this.#lane.setWord(slot, BlockWord.flags, flags);
    this.submit(slot, operation, sector, 0, done, false);
  }
}
