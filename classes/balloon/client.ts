import {
  argument,
  ask,
  type Feed,
  type Lanes,
  listen,
  News,
  type OpenClient,
  RequestError,
  Status,
  within,
  Word,
} from "../../core/class/mod.ts";
import {
  BALLOON_PAGE,
  BalloonOperation,
  type BalloonProperties,
  BalloonWord,
  encodeStatistics,
  MEMORY_STATISTICS,
  type MemoryStatistic,
  type MemoryStatistics,
} from "./protocol.ts";

type BalloonLanes = Lanes<"control" | "events" | "statistics">;

/** How large a balloon is and is to be, in pages of 4096 bytes. */
export interface BalloonState {
  /** What the host wants. */
  readonly requested: number;
  /** What it will get: no more than the arena has, less the pages that stay and those that were reclaimed. */
  readonly target: number;
  /** What it has. */
  readonly actual: number;
}

/** The part of the arena that stays, unless the application says otherwise: a quarter. */
const FLOOR = 1 / 4;
/** A host that changes its mind faster than this, in milliseconds, is followed no faster. */
const ORDER_MS = 100;
/** Pages that the balloon grows or shrinks by in one request: 16 MiB take no host longer than its deadline. */
const STEP_PAGES = 4096;
/** Statistics are made no more often than this, in milliseconds, however often the host asks. */
const STATISTICS_MS = 200;
/** How long the balloon may take to be empty when the device is given back, in milliseconds. */
const CLOSE_MS = 1000;

/**
 * An application's view of a memory balloon.
 *
 * A program can give only memory that is its own. The balloon is made of an arena that its driver holds for no other
 * use; the memory of other programs it neither takes nor frees.
 */
export class BalloonClient {
  readonly #lanes: BalloonLanes;
  readonly #properties: BalloonProperties;
  #source: (() => MemoryStatistics) | undefined;
  #names: readonly MemoryStatistic[] = [];
  #figures: MemoryStatistics = {};
  #requested: number;
  #actual = 0;
  #floor: number;
  /** Pages that the balloon is smaller by than the host wants, because they were reclaimed. */
  #spared = 0;
  /** The size that was ordered last, when, and how many orders there were. */
  #ordered = 0;
  #orders = 0;
  #orderedAt = -Infinity;
  #orderTimer: ReturnType<typeof setTimeout> | undefined;
  #statisticsTimer: ReturnType<typeof setTimeout> | undefined;
  #state: "working" | "closing" | "gone" = "working";
  readonly #news = new News<BalloonState>("BalloonClient.changes", { capacity: 1 });
  #told: BalloonState | undefined;

  /**
   * Makes the client of a balloon; for the class.
   *
   * @param source Where statistics come from; the host gets none if it is absent or throws.
   */
  static open(
    lanes: BalloonLanes,
    properties: BalloonProperties,
    source?: () => MemoryStatistics,
  ): OpenClient<BalloonClient> {
    const client = new BalloonClient(lanes, properties, source);
    return {
      client,
      restarted: () => client.#restarted(),
      gone: () => client.#lose(),
      close: () => client.#close(),
    };
  }

  private constructor(
    lanes: BalloonLanes,
    properties: BalloonProperties,
    source?: () => MemoryStatistics,
  ) {
    this.#lanes = lanes;
    this.#properties = properties;
    this.#requested = properties.requested;
    this.#floor = Math.ceil(properties.pages * FLOOR);
    this.#source = source;
    const { events } = lanes;
    listen(events, (slot) => {
      this.#hear(events.word(slot, BalloonWord.pages), events.word(slot, BalloonWord.actual));
      this.#adopt();
    });
    if (properties.statistics) this.#offerStatistics();
    this.#adopt();
  }

  /** Bytes of a page. */
  get pageBytes(): number {
    return BALLOON_PAGE;
  }

  /** Pages of the arena: all that the balloon could ever hold. */
  get pages(): number {
    return this.#properties.pages;
  }

  /** Whether {@linkcode reclaim} is allowed: the host takes a balloon that is smaller than it wants. */
  get deflateOnOom(): boolean {
    return this.#properties.deflateOnOom;
  }

  /** Whether the host asks for hints at free pages, for example while it moves the machine elsewhere. */
  get hinting(): boolean {
    return this.#properties.hinting;
  }

  /** Whether free pages of the arena are reported to the host, which may then use them until they are needed. */
  get reporting(): boolean {
    return this.#properties.reporting;
  }

  /** How large it is and is to be. */
  get state(): BalloonState {
    return { requested: this.#requested, target: this.#target(), actual: this.#actual };
  }

  /** What the host was told of the machine's memory the last time; empty if it takes no statistics. */
  get statistics(): MemoryStatistics {
    return this.#figures;
  }

  /** Pages that stay out of the balloon, whatever the host wants; a quarter of the arena at first. */
  get floor(): number {
    return this.#floor;
  }

  /**
   * Sets {@linkcode floor}. The balloon follows.
   *
   * @throws RangeError If the arena has not so many pages.
   */
  set floor(pages: number) {
    argument.integer(pages, "BalloonClient.floor", "pages", 0, this.pages);
    this.#floor = pages;
    this.#adopt();
    this.#change();
  }

  /**
   * Takes pages back, because memory is short. They stay out of the balloon until the host wants another size of it.
   *
   * @returns How many came back: fewer if the balloon had no more.
   * @throws TypeError If the host does not allow that (VIRTIO_BALLOON_F_DEFLATE_ON_OOM).
   * @throws RequestError If the driver is gone.
   */
  async reclaim(pages: number): Promise<number> {
    argument.integer(pages, "BalloonClient.reclaim", "pages", 0, this.pages);
    if (!this.deflateOnOom) {
      throw new TypeError(
        `Cannot reclaim ${pages} pages: the host does not offer VIRTIO_BALLOON_F_DEFLATE_ON_OOM, so the ` +
          "balloon must not be smaller than it wants (virtio 1.4, 5.5.6.1); lower `floor` only keeps it from growing",
      );
    }
    const before = this.#actual;
    const without = this.#spared;
    this.#spared = 0;
    const whole = this.#target();
    // Those that it has not taken yet count as well.
    this.#spared = Math.min(whole, Math.max(without, whole - before) + pages);
    const action = `Cannot reclaim ${pages} pages`;
    await this.#order(this.#target(), action);
    return Math.max(0, before - this.#actual);
  }

  /**
   * Tells how large the balloon is and is to be: at once, and then after each change. Changes that come faster than
   * they are taken are told as one. Ends with the device, or when `signal` is aborted.
   */
  changes(signal?: AbortSignal): Feed<BalloonState> {
    // What a new reader gets first, others have had, and no reader gets it again.
    this.#change();
    return this.#news.feed({ signal, first: this.state });
  }

  /**
   * Waits until the balloon is as large as it is to be.
   *
   * @returns How large that is.
   */
  async settled(signal?: AbortSignal): Promise<BalloonState> {
    argument.abortSignal(signal, "BalloonClient.settled", "signal");
    for await (const state of this.changes(signal)) {
      if (state.actual === state.target) return state;
    }
    signal?.throwIfAborted();
    throw new RequestError("Cannot wait for the balloon", Status.gone);
  }

  /** The driver that was started anew has an empty balloon. */
  #restarted(): void {
    const { pages, requested } = this.#properties;
    this.#floor = Math.min(this.#floor, pages);
    this.#hear(requested, 0);
    this.#ordered = 0;
    this.#adopt();
  }

  /** Empties the balloon before the device is given back (virtio 1.4, 5.5.6.1). */
  async #close(): Promise<void> {
    if (this.#state !== "working") return;
    this.#state = "closing";
    clearTimeout(this.#orderTimer);
    clearTimeout(this.#statisticsTimer);
    if (this.#actual === 0 && this.#ordered === 0) return;
    // A driver that does not manage it in time, or is gone, is reset anyway.
    await within(CLOSE_MS, this.#order(0, "Cannot empty the balloon").catch(() => {}));
  }

  #target(): number {
    const most = Math.max(0, this.#properties.pages - this.#floor);
    return Math.max(0, Math.min(this.#requested, most) - this.#spared);
  }

  /** Follows the target, but not faster than it makes sense. */
  #adopt(): void {
    clearTimeout(this.#orderTimer);
    if (this.#state !== "working" || this.#target() === this.#ordered) return;
    const wait = this.#orderedAt + ORDER_MS - performance.now();
    if (wait > 0) {
      this.#orderTimer = setTimeout(() => this.#adopt(), wait);
      return;
    }
    // A driver that is gone is noticed by its events.
    this.#order(this.#target(), "Cannot resize the balloon").catch(() => {});
  }

  /** Orders a size, in steps that each have their deadline. Resolves when it is reached, or another one was ordered. */
  async #order(pages: number, action: string): Promise<void> {
    const order = ++this.#orders;
    this.#ordered = pages;
    this.#orderedAt = performance.now();
    do {
      const step = Math.max(-STEP_PAGES, Math.min(pages - this.#actual, STEP_PAGES));
      const status = await this.#resize(this.#actual + step);
      if (status !== Status.ok) throw new RequestError(action, status);
    } while (order === this.#orders && this.#actual !== pages);
    this.#adopt();
  }

  /** Has the driver make the balloon so large. Returns how that ended. */
  async #resize(pages: number): Promise<number> {
    const { status, words } = await ask(this.#lanes.control, "Cannot resize the balloon", {
      operation: BalloonOperation.resize,
      words: { [BalloonWord.pages]: pages },
    });
    this.#hear(this.#requested, status === Status.ok ? words[BalloonWord.actual]! : this.#actual);
    return status;
  }

  /** Takes over what the driver says, which could be anything. */
  #hear(requested: number, actual: number): void {
    // A new wish of the host is one that knows of what was reclaimed.
    if (requested !== this.#requested) this.#spared = 0;
    this.#requested = requested;
    this.#actual = Math.min(actual, this.#properties.pages);
    this.#change();
  }

  #lose(): void {
    this.#state = "gone";
    clearTimeout(this.#orderTimer);
    clearTimeout(this.#statisticsTimer);
    this.#news.end();
  }

  #change(): void {
    const { state } = this;
    if (this.#told && same(state, this.#told)) return;
    this.#told = state;
    this.#news.tell(state);
  }

  /** Gives the host its first statistics; which figures there are stays so. */
  #offerStatistics(): void {
    const figures = this.#readStatistics();
    this.#names = (Object.keys(MEMORY_STATISTICS) as MemoryStatistic[])
      .filter((name) => figures[name] !== undefined);
    const slot = this.#lanes.statistics.take();
    if (this.#names.length > 0 && slot >= 0) this.#giveStatistics(slot, figures);
  }

  #giveStatistics(slot: number, figures: MemoryStatistics): void {
    const lane = this.#lanes.statistics;
    const at = performance.now();
    const bytes = encodeStatistics(this.#names, figures);
    this.#figures = figures;
    lane.data(slot).set(bytes.subarray(0, lane.slotBytes));
    lane.setWord(slot, Word.length, Math.min(bytes.length, lane.slotBytes));
    lane.submit(slot, (_, status) => {
      if (status !== Status.ok || this.#state !== "working") return lane.release(slot);
      const wait = Math.max(0, at + STATISTICS_MS - performance.now());
      this.#statisticsTimer = setTimeout(() => {
        this.#giveStatistics(slot, { ...this.#figures, ...this.#readStatistics() });
      }, wait);
    });
    lane.publish();
  }

  #readStatistics(): MemoryStatistics {
    try {
      const figures = this.#source?.() ?? {};
      const good = ([, value]: [string, unknown]) =>
        Number.isSafeInteger(value) && (value as number) >= 0;
      return Object.fromEntries(Object.entries(figures).filter(good));
    } catch {
      return {}; // the balloon works without them
    }
  }
}

function same(a: BalloonState, b: BalloonState): boolean {
  return a.requested === b.requested && a.target === b.target && a.actual === b.actual;
}
