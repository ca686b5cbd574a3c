/**
 * The memory balloon as a model (virtio 1.4, 5.5): a hypervisor that wants pages, and keeps book of those that it got.
 *
 * @module
 */
import {
  type DeviceHandle,
  type DeviceModel,
  DriverFault,
  type Request,
} from "@virtio/deno/simulation";
import * as wire from "./wire.ts";

/** What a balloon is like. */
export interface BalloonOptions {
  /** The features that it offers; all if absent. */
  readonly features?: bigint;
  /** Pages that the hypervisor wants at first; none if absent. */
  readonly pages?: number;
  /** Whether queues of features that are not offered leave no gap, as QEMU's do. */
  readonly compact?: boolean;
  /** For tests: whether it asks for new statistics as soon as it has some (D-94). */
  readonly floods?: boolean;
}

const ALL = wire.F_MUST_TELL_HOST | wire.F_STATS_VQ | wire.F_DEFLATE_ON_OOM |
  wire.F_FREE_PAGE_HINT | wire.F_PAGE_POISON | wire.F_PAGE_REPORTING;
const QUEUE_SIZE = 128;

/** The queues that a feature brings. */
const OPTIONAL_QUEUES: readonly (readonly [queue: number, feature: bigint])[] = [
  [wire.QUEUE_STATS, wire.F_STATS_VQ],
  [wire.QUEUE_FREE_PAGE, wire.F_FREE_PAGE_HINT],
  [wire.QUEUE_REPORTING, wire.F_PAGE_REPORTING],
];

/** A hypervisor that is told of page frames, and complains about a driver that cannot count. */
export class BalloonModel implements DeviceModel {
  readonly id: number = wire.DEVICE_ID;
  readonly classCode = 0x00ff00;
  readonly features: bigint;
  readonly queues: readonly number[];
  /** Its configuration structure. */
  readonly config: Uint8Array<ArrayBuffer> = new Uint8Array(wire.CONFIG_BYTES);

  /** Numbers of the page frames that are in the balloon. */
  readonly inflated: Set<number> = new Set();
  /** Figures that it was given last, by their tags. */
  readonly statistics: Map<number, number> = new Map();
  /** How often it was given figures. */
  given = 0;
  /** Page frames in each request to inflate or deflate. */
  readonly batches: number[] = [];
  /** Bytes that were hinted at in the latest round, and whether that has ended. */
  readonly hinted: { bytes: number; round: number; over: boolean } = {
    bytes: 0,
    round: 0,
    over: true,
  };
  /** Bytes that were reported. */
  reported = 0;

  readonly #options: BalloonOptions;
  readonly #view = new DataView(this.config.buffer);
  /** What each of its queues is. */
  readonly #roles: readonly number[];
  #device: DeviceHandle | undefined;
  #figures: Request | undefined;
  /** Queues that were reset: the driver cannot know what became of its latest batch, and may send it again. */
  readonly #again = new Set<number>();
  readonly #word = new Uint8Array(4);
  readonly #entry = new Uint8Array(wire.STAT_BYTES);

  /** Makes an empty balloon. */
  constructor(options: BalloonOptions = {}) {
    this.#options = options;
    this.features = options.features ?? ALL;
    const optional = OPTIONAL_QUEUES.filter(([, feature]) => this.features & feature)
      .map(([queue]) => queue);
    this.#roles = options.compact
      ? [wire.QUEUE_INFLATE, wire.QUEUE_DEFLATE, ...optional]
      : [0, 1, 2, 3, 4];
    this.queues = this.#roles.map((role) =>
      role < wire.QUEUE_STATS || optional.includes(role) ? QUEUE_SIZE : 0
    );
    this.#set(wire.CONFIG_NUM_PAGES, options.pages ?? 0);
    this.#set(wire.CONFIG_FREE_PAGE_HINT_CMD_ID, wire.CMD_ID_DONE);
  }

  /** How many pages the driver says are in the balloon. */
  get actual(): number {
    return this.#view.getUint32(wire.CONFIG_ACTUAL, true);
  }

  /** What the driver says that free pages are filled with. */
  get poison(): number {
    return this.#view.getUint32(wire.CONFIG_POISON_VAL, true);
  }

  /** Wants so many pages in the balloon. */
  want(pages: number): void {
    this.#set(wire.CONFIG_NUM_PAGES, pages);
    this.#device?.configChanged();
  }

  /** Gives a command of free page hinting: one of the two, or the name of a round to begin. */
  hint(command: number): void {
    this.#set(wire.CONFIG_FREE_PAGE_HINT_CMD_ID, command);
    this.#device?.configChanged();
  }

  /** Asks for new figures, if it was given some. Returns whether it was. */
  askStatistics(): boolean {
    const figures = this.#figures;
    this.#figures = undefined;
    figures?.complete(0);
    return figures !== undefined;
  }

  /** Called by the machine. */
  attach(device: DeviceHandle): void {
    this.#device = device;
  }

  /** The driver says how many pages there are, or what they are filled with. */
  configWrite(offset: number, value: number, width: 1 | 2 | 4): void {
    const known = [wire.CONFIG_ACTUAL, wire.CONFIG_POISON_VAL].includes(offset) && width === 4;
    if (!known) throw new DriverFault(`It writes ${width} bytes at ${offset} of the configuration`);
    this.#set(offset, value);
  }

  /** Forgets all pages. */
  reset(): void {
    this.inflated.clear();
    this.#figures = undefined;
    this.#again.clear();
  }

  /** The driver takes back what is in a queue. */
  queueReset(queue: number): void {
    this.#again.add(queue);
    if (this.#roles[queue] === wire.QUEUE_STATS) this.#figures = undefined;
  }

  /** Answers a request. */
  handle(queue: number, request: Request): number | undefined {
    switch (this.#roles[queue]) {
      case wire.QUEUE_INFLATE:
        return this.#move(queue, request, "inflates", (frame) => {
          const before = this.inflated.size;
          return this.inflated.add(frame).size > before;
        });
      case wire.QUEUE_DEFLATE:
        return this.#move(queue, request, "deflates", (frame) => this.inflated.delete(frame));
      case wire.QUEUE_STATS:
        return this.#take(request);
      case wire.QUEUE_FREE_PAGE:
        return this.#hint(request);
      default:
        return this.#report(request);
    }
  }

  #move(
    queue: number,
    request: Request,
    verb: string,
    isNew: (frame: number) => boolean,
  ): number {
    const again = this.#again.delete(queue);
    if (request.readable % 4 !== 0 || request.readable === 0 || request.writable > 0) {
      throw new DriverFault(`It ${verb} by a request that is no list of page frames`);
    }
    this.batches.push(request.readable / 4);
    for (let frame = this.#next(request); frame !== undefined; frame = this.#next(request)) {
      if (!isNew(frame) && !again) throw new DriverFault(`It ${verb} page frame ${frame} twice`);
    }
    return 0;
  }

  /** Keeps the figures' buffer until there shall be newer ones (5.5.6.3). */
  #take(request: Request): number | undefined {
    if (this.#figures) throw new DriverFault("It gives statistics twice");
    if (request.readable % wire.STAT_BYTES !== 0) throw new DriverFault("It gives half a figure");
    const view = new DataView(this.#entry.buffer);
    this.statistics.clear();
    while (request.read(this.#entry) > 0) {
      this.statistics.set(view.getUint16(0, true), Number(view.getBigUint64(2, true)));
    }
    this.given++;
    if (this.#options.floods) return 0;
    this.#figures = request;
    return undefined;
  }

  #hint(request: Request): number {
    const command = this.#next(request);
    if (command === undefined) {
      // Hints that come when the hypervisor has no use for them are wasted, and no harm.
      if (this.hinted.over) return 0;
      this.hinted.bytes += request.writable;
    } else if (command === wire.CMD_ID_STOP) {
      this.hinted.over = true;
    } else if (command === this.#view.getUint32(wire.CONFIG_FREE_PAGE_HINT_CMD_ID, true)) {
      Object.assign(this.hinted, { bytes: 0, round: command, over: false });
    }
    return 0;
  }

  /**
   * What is in a page that was reported is lost, unless the driver said what that is: then it must be so before, and
   * is so afterwards (5.5.6.7).
   */
  #report(request: Request): number {
    if (request.readable > 0) throw new DriverFault("It reports something to read");
    this.reported += request.writable;
    const keep = (this.#device!.features & wire.F_PAGE_POISON) !== 0n;
    while (request.writable > 0) {
      const piece = request.nextWritable();
      if (!keep) piece.fill(0xa5);
      // The first word of each page must do.
      for (let at = 0; keep && at < piece.length; at += wire.PAGE_BYTES) {
        this.#word.set(piece.subarray(at, at + 4));
        if (wordOf(this.#word) !== this.poison) {
          throw new DriverFault(`It reports a page with ${wordOf(this.#word)} in it, not poison`);
        }
      }
    }
    return 0;
  }

  #next(request: Request): number | undefined {
    return request.read(this.#word) < 4 ? undefined : wordOf(this.#word);
  }

  #set(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true);
  }
}

function wordOf({ buffer }: Uint8Array): number {
  return new DataView(buffer).getUint32(0, true);
}
