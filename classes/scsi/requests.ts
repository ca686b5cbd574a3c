import { type ClientLane, type Done, Status } from "../../core/class/mod.ts";
import * as block from "../block/protocol.ts";
import type { SlotRequests } from "../block/slots.ts";
import { addressWord, type ScsiAddress } from "./address.ts";
import { NOTHING, readOutcome } from "./answer.ts";
import { putReadOrWrite, synchronizeCache, unmap, unmapRanges, writeSame16 } from "./cdb.ts";
import type { ScsiCommands } from "./commands.ts";
import { errorStatus, judge, TRIES } from "./judge.ts";
import * as protocol from "./protocol.ts";

const { BlockOperation, SECTOR, UNMAP } = block;
const { ScsiAttribute, ScsiTail, ScsiWord } = protocol;
const { ok, failed, refused, unsupported } = Status;

/** What a disk knows of itself that its requests need. */
export interface DiskShape {
  /** Bytes of its blocks. */
  readonly blockSize: number;
  /** Most bytes of one request, in whole blocks. */
  readonly bytes: number;
  /** Whether blocks are given up by WRITE SAME, as it knows no UNMAP. */
  readonly unmapsBySame: boolean;
  /** Whether blocks that are given up by WRITE SAME read as zeroes. */
  readonly zeroesUnmap: boolean;
}

/**
 * Requests of a disk as slots: one command each, whose data the unit reads and writes in the slot itself. What came in
 * the way of one, for example that the unit was reset, is no answer to it: it is put again, by the rules for commands by
 * promise, but without pauses, since the application may block this thread.
 */
export class ScsiRequests implements SlotRequests {
  bytes: number = 0;
  inFlight: number = 0;
  readonly #lane: ClientLane;
  readonly #commands: ScsiCommands;
  readonly #address: ScsiAddress;
  readonly #word: number = 0;
  readonly #data: readonly Uint8Array<SharedArrayBuffer>[];
  #shape: DiskShape | undefined;
  /** Sectors of 512 bytes in a block. */
  #sectors = 1;
  /** The medium that the disk stands for. */
  #medium = 0;
  #ended = 0;
  // Of each slot: what was asked, and what for.
  readonly #done: (Done | undefined)[];
  readonly #cdbBytes: Uint8Array<ArrayBuffer>;
  readonly #outBytes: Uint32Array<ArrayBuffer>;
  readonly #inBytes: Uint32Array<ArrayBuffer>;
  readonly #once: Uint8Array<ArrayBuffer>;
  readonly #media: Float64Array<ArrayBuffer>;
  /** Length to tell when all went well, less what is left over. */
  readonly #lengths: Uint32Array<ArrayBuffer>;
  /** How it ends all the same, where no command says what was asked. */
  readonly #instead: Uint8Array<ArrayBuffer>;
  readonly #tries: Uint8Array<ArrayBuffer>;
  /** When a unit that has no time for it will have had enough. */
  readonly #deadlines: Float64Array<ArrayBuffer>;

  constructor(lane: ClientLane, commands: ScsiCommands, address: ScsiAddress) {
    const { slots } = lane;
    this.#lane = lane;
    this.#commands = commands;
    this.#address = address;
    this.#word = addressWord(address);
    this.#data = Array.from(
      { length: slots },
      (_, slot) => lane.data(slot).subarray(0, commands.dataBytes),
    );
    this.#done = new Array(slots).fill(undefined);
    this.#cdbBytes = new Uint8Array(slots);
    this.#outBytes = new Uint32Array(slots);
    this.#inBytes = new Uint32Array(slots);
    this.#once = new Uint8Array(slots);
    this.#media = new Float64Array(slots);
    this.#lengths = new Uint32Array(slots);
    this.#instead = new Uint8Array(slots);
    this.#tries = new Uint8Array(slots);
    this.#deadlines = new Float64Array(slots);
  }

  readonly ended = (): number => this.#ended;

  /** The disk has learnt what it is like, and which medium it stands for. */
  learn(shape: DiskShape, medium: number): void {
    this.#shape = shape;
    this.bytes = shape.bytes;
    this.#sectors = shape.blockSize / SECTOR;
    this.#medium = medium;
  }

  data(slot: number): Uint8Array<SharedArrayBuffer> {
    const data = this.#data[slot];
    return data === undefined || typeof slot !== "number" ? this.#lane.data(slot) : data;
  }

  submit(
    slot: number,
    operation: number,
    sector: number,
    length: number,
    done: Done,
    once: boolean,
  ): void {
    if (operation !== BlockOperation.read && operation !== BlockOperation.write) {
      return this.#submitOther(slot, operation, done);
    }
    const sectors = this.#sectors;
    const write = operation === BlockOperation.write;
    const blocks = length / SECTOR / sectors;
    if (sector % sectors !== 0 || !Number.isInteger(blocks)) {
      return this.#begin(slot, done, once, 0, refused);
    }
    const cdb = this.#lane.slotBytes - ScsiTail.bytes + ScsiTail.cdb;
    const bytes = this.#lane.data(slot);
    this.#outBytes[slot] = write ? length : 0;
    this.#inBytes[slot] = write ? 0 : length;
    this.#lengths[slot] = length;
    const cdbBytes = putReadOrWrite(bytes, cdb, write, sector / sectors, blocks);
    this.#begin(slot, done, once, cdbBytes, ok);
  }

  submitStretch(
    slot: number,
    operation: number,
    sector: number,
    sectors: number,
    flags: number,
    done: Done,
  ): void {
    const { blockSize, unmapsBySame, zeroesUnmap } = this.#shape!;
    const discard = operation === BlockOperation.discard;
    if (!discard && operation !== BlockOperation.writeZeroes) {
      return this.#submitOther(slot, operation, done);
    }
    const [first, blocks] = [sector / this.#sectors, sectors / this.#sectors];
    if (!Number.isInteger(first) || !Number.isInteger(blocks)) {
      return this.#begin(slot, done, false, 0, refused);
    }
    if (discard && !unmapsBySame) {
      const ranges = unmapRanges([[first, blocks]]);
      return this.#put(slot, unmap(ranges.length), ranges, done);
    }
    const giveUp = discard || (flags & UNMAP) !== 0 && zeroesUnmap;
    this.#put(slot, writeSame16(first, blocks, giveUp), new Uint8Array(blockSize), done);
  }

  /** What is about no blocks: a flush, or what SCSI disks do not know in this form. */
  #submitOther(slot: number, operation: number, done: Done): void {
    if (operation !== BlockOperation.flush) return this.#begin(slot, done, false, 0, unsupported);
    this.#put(slot, synchronizeCache(), NOTHING, done);
  }

  #put(slot: number, cdb: Uint8Array, out: Uint8Array, done: Done): void {
    const bytes = this.#lane.data(slot);
    bytes.set(out);
    bytes.set(cdb, this.#lane.slotBytes - ScsiTail.bytes + ScsiTail.cdb);
    this.#outBytes[slot] = out.length;
    this.#inBytes[slot] = 0;
    this.#lengths[slot] = 0;
    this.#begin(slot, done, false, cdb.length, ok);
  }

  /** @param instead How it ends whatever comes of it, if it has no CDB: the driver then does not pass it on. */
  #begin(slot: number, done: Done, once: boolean, cdbBytes: number, instead: number): void {
    // One for a medium that is not in the unit any more must not reach the one that is.
    const isGone = this.#commands.media.generation(this.#word) !== this.#medium;
    this.#done[slot] = done;
    this.#once[slot] = once ? 1 : 0;
    this.#cdbBytes[slot] = isGone ? 0 : cdbBytes;
    this.#instead[slot] = isGone ? failed : instead;
    this.#media[slot] = this.#medium;
    this.#tries[slot] = 1;
    this.#deadlines[slot] = 0;
    this.inFlight++;
    this.#submit(slot);
  }

  #submit(slot: number): void {
    const lane = this.#lane;
    const once = this.#once[slot] === 1;
    const attribute = once ? ScsiAttribute.once : ScsiAttribute.simple;
    lane.setWord(slot, ScsiWord.operation, 0);
    lane.setWord(slot, ScsiWord.address, (this.#word | attribute << 24) >>> 0);
    lane.setWord(slot, ScsiWord.cdbBytes, this.#cdbBytes[slot]!);
    lane.setWord(slot, ScsiWord.outBytes, this.#outBytes[slot]!);
    lane.setWord(slot, ScsiWord.inBytes, this.#inBytes[slot]!);
    lane.setWord(slot, ScsiWord.protection, 0);
    this.#commands.flights.begin(slot, this.#word, this.#commands.timeout);
    lane.submit(slot, this.#answered, once);
  }

  readonly #answered = (slot: number, ended: number, moved: number): void => {
    const { flights, media } = this.#commands;
    const lane = this.#lane;
    const late = flights.isLate(slot);
    flights.end(slot);
    // Nearly always the device says that all is well, in this word, and of the same medium.
    const isSame = media.generation(this.#word) === this.#media[slot];
    if (ended === ok && isSame && lane.word(slot, ScsiWord.outcome) === 0) {
      const length = this.#lengths[slot]!;
      const left = Math.min(lane.word(slot, ScsiWord.residual), length);
      return this.#end(
        slot,
        ok,
        this.#inBytes[slot] === 0 ? length - left : Math.min(length, moved),
      );
    }
    this.#judge(slot, ended, moved, late);
  };

  #judge(slot: number, ended: number, moved: number, late: boolean): void {
    const commands = this.#commands;
    const instead = this.#instead[slot]!;
    if (instead !== ok && ended === unsupported) return this.#end(slot, instead, 0);
    const outcome = readOutcome(this.#lane, slot, ended, late ? commands.timeout : undefined);
    const { sense } = outcome;
    if (sense) commands.look(this.#address, sense);
    const isGone = commands.media.generation(this.#word) !== this.#media[slot];
    if (isGone) return this.#end(slot, ended === ok ? failed : ended, 0);
    if (sense) commands.hear(this.#address, sense);
    switch (judge(outcome, this.#once[slot] === 0)) {
      case "done": {
        const length = this.#lengths[slot]!;
        return this.#end(slot, ok, this.#inBytes[slot] === 0 ? length : Math.min(length, moved));
      }
      case "again":
        if (this.#tries[slot]!++ < TRIES) return this.#again(slot);
        break;
      case "later": {
        const now = performance.now();
        this.#deadlines[slot] ||= now + commands.timeout;
        if (now < this.#deadlines[slot]!) return this.#again(slot);
      }
    }
    this.#end(slot, errorStatus(outcome), 0);
  }

  #again(slot: number): void {
    this.#submit(slot);
    this.#lane.publish();
  }

  #end(slot: number, status: number, length: number): void {
    const done = this.#done[slot]!;
    this.#done[slot] = undefined;
    this.inFlight--;
    this.#ended++;
    done(slot, status, length);
  }
}
