import { argument, type ClientLane, Status } from "../../core/class/mod.ts";
import { BlockOperation, BlockWord, SECTOR } from "./protocol.ts";
import type { BlockSlots } from "./slots.ts";

/** What a client asks of a disk: as many requests as it takes. */
export interface JobRequest {
  /** A `BlockOperation`. */
  readonly operation: number;
  /** First sector. */
  readonly sector: number;
  /** Where data comes from, or goes. */
  readonly bytes?: Uint8Array;
  /** Sectors of the stretch that it is about, if no data goes with it. */
  readonly sectors?: number;
  /** Most sectors of the stretch in one request. */
  readonly mostSectors?: number;
  /** Flags of the operation. */
  readonly flags?: number;
  /** Whether doing it twice would do harm. */
  readonly once?: boolean;
}

/** How a job ended. */
export interface JobResult {
  /** The first status that is not ok, if any. */
  readonly status: number;
  /** The device's own status that goes with it, not to be trusted. */
  readonly answer: number;
  /** Whether `bytes` was taken away meanwhile: then not all of it was moved. */
  readonly lost: boolean;
  /** Bytes that the last request moved. */
  readonly moved: number;
  /** The sector that the driver left in the last request. */
  readonly sector: number;
}

interface Job extends JobRequest {
  /** Length of `bytes`, which may be taken away. */
  readonly length: number;
  /** Bytes, or sectors, for which a request was submitted. */
  submitted: number;
  /** Requests in flight. */
  pending: number;
  /** Whether not all of them are submitted yet. */
  queued: boolean;
  status: number;
  lost: boolean;
  answer: number;
  moved: number;
  found: number;
  readonly settle: (result: JobResult) => void;
}

/** As many as a record can say. */
const MOST_SECTORS = 2 ** 32 - 1;
/** Operations that fill `bytes`. */
const FILLS: readonly number[] = [
  BlockOperation.read,
  BlockOperation.identify,
  BlockOperation.lifetime,
  BlockOperation.zoneReport,
];

/** Cuts what a client asks for into requests of a slot each, as slots are free, and puts the answers together. */
export class BlockJobs {
  readonly #lane: ClientLane;
  readonly #slots: BlockSlots;
  readonly #ended: (operation: number, status: number) => void;
  /** Those of which not all requests are submitted, in their order. */
  readonly #jobs: Job[] = [];
  /** Whether they wait for a slot. */
  #waiting = false;

  /** @param ended Called for each request that ends. */
  constructor(
    lane: ClientLane,
    slots: BlockSlots,
    ended: (operation: number, status: number) => void,
  ) {
    this.#lane = lane;
    this.#slots = slots;
    this.#ended = ended;
  }

  /** Does a job. */
  run(request: JobRequest): Promise<JobResult> {
    return new Promise((settle) => {
      this.#jobs.push({
        ...request,
        length: request.bytes?.length ?? 0,
        submitted: 0,
        pending: 0,
        queued: true,
        status: Status.ok,
        lost: false,
        answer: 0,
        moved: 0,
        found: 0,
        settle,
      });
      this.#feed();
    });
  }

  /** Submits what there are slots for, the given one first. */
  #feed(slot = -1): void {
    if (this.#lane.gone) {
      if (slot >= 0) this.#lane.release(slot);
      return this.#refuse();
    }
    for (let job = this.#jobs[0]; job; job = this.#jobs[0]) {
      job.lost ||= isTaken(job);
      if (isSubmitted(job) || job.lost || job.status !== Status.ok) {
        this.#jobs.shift();
        job.queued = false;
        if (job.pending === 0) settle(job);
        continue;
      }
      if (slot < 0) slot = this.#lane.take();
      if (slot < 0) {
        this.#wait();
        break;
      }
      this.#submit(job, slot);
      slot = -1;
    }
    if (slot >= 0) this.#lane.release(slot);
    this.#lane.publish();
  }

  /** Goes on when a slot is free: all of them may be in the hands of the application. */
  #wait(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#lane.whenFree((slot) => {
      this.#waiting = false;
      this.#feed(slot);
    });
  }

  /** The driver is gone: what waits ends as gone, and not by way of the slots, as often as there are any. */
  #refuse(): void {
    for (const job of this.#jobs.splice(0)) {
      job.queued = false;
      if (!isSubmitted(job)) job.status ||= Status.gone;
      if (job.pending === 0) settle(job);
    }
  }

  #submit(job: Job, slot: number): void {
    const { operation, bytes, sector, sectors, mostSectors = Infinity, flags = 0, once } = job;
    const slots = this.#slots;
    const start = job.submitted;
    job.pending++;
    if (bytes === undefined) {
      const count = Math.min((sectors ?? 0) - start, mostSectors, MOST_SECTORS);
      // What is about no stretch is submitted once, too.
      job.submitted += Math.max(count, 1);
      slots.submitStretch(slot, operation, sector + start, count, flags, (...end) => {
        this.#end(job, ...end);
      });
      return;
    }
    const length = Math.min(job.length - start, this.#lane.slotBytes);
    job.submitted += length;
    const fills = FILLS.includes(operation);
    // Only a read promises to fill all of it.
    if (operation !== BlockOperation.read && fills) slots.data(slot).fill(0, 0, length);
    if (!fills) slots.data(slot).set(bytes.subarray(start, start + length));
    slots.submit(slot, operation, sector + start / SECTOR, length, (_, status, moved) => {
      job.lost ||= isTaken(job);
      if (status === Status.ok && fills && !job.lost) {
        bytes.set(slots.data(slot).subarray(0, Math.min(moved, length)), start);
      }
      // A read that moved less than it should is none, whatever the driver says.
      const short = operation === BlockOperation.read && moved !== length;
      this.#end(job, slot, status || (short ? Status.invalid : Status.ok), moved);
    }, once);
  }

  #end(job: Job, slot: number, status: number, moved: number): void {
    if (job.status === Status.ok) {
      job.status = status;
      job.answer = this.#lane.word(slot, BlockWord.answer);
    }
    job.moved = moved;
    job.found = this.#lane.word(slot, BlockWord.sectorHigh) * 2 ** 32 +
      this.#lane.word(slot, BlockWord.sectorLow);
    this.#ended(job.operation, status);
    job.pending--;
    if (job.pending === 0 && !job.queued) settle(job);
    this.#lane.release(slot);
    this.#feed();
  }
}

function isSubmitted({ bytes, length, sectors = 0, submitted }: Job): boolean {
  return submitted >= Math.max(1, bytes ? length : sectors);
}

function isTaken({ bytes, length }: Job): boolean {
  return bytes !== undefined && argument.isLost(bytes, length);
}

function settle({ settle, status, lost, answer, moved, found }: Job): void {
  settle({ status, lost, answer, moved, sector: found });
}
