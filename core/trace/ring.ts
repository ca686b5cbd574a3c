// The ring in control memory by which a driver host tells what it does.

/** What a record is about. */
export const Kind = {
  request: 1,
  descriptor: 2,
  used: 3,
  publish: 4,
  doorbell: 5,
  interrupt: 6,
  take: 7,
  complete: 8,
  register: 9,
} as const;

/** Words of 32 bits before the records: two counters and a few facts, each on a cache line of its writer. */
const HEAD = 64;
const WRITTEN = 0, LOST = 1, CLOCK = 2, READ = 32;
/** Words of a record: kind and subject, a number, the time, four more numbers. */
const WORDS = 8;
const RECORDS = 1 << 16;

/** Bytes of the ring: room for what happens while the core does not look. */
export const TRACE_BYTES: number = (HEAD + RECORDS * WORDS) * 4;

/** How a process's clock stands to the machine's, as `core/linux` measures it. */
export interface ClockFacts {
  readonly offset: number;
  readonly uncertainty: number;
}

/** The driver host's end: writes records of numbers, and allocates nothing. What finds no room is counted. */
export class TraceWriter {
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #times: Float64Array<SharedArrayBuffer>;
  #written: number;
  /** Where records that belong together go to; shown by {@linkcode show}. */
  #next: number;

  /** @param offset First byte in `memory`, a multiple of 8. */
  constructor(memory: SharedArrayBuffer, offset: number, clock: ClockFacts) {
    this.#words = new Uint32Array(memory, offset, TRACE_BYTES / 4);
    this.#times = new Float64Array(memory, offset, TRACE_BYTES / 8);
    // One that was started anew goes on where the one before it ended.
    this.#next = this.#written = Atomics.load(this.#words, WRITTEN);
    this.#times[CLOCK / 2] = clock.offset;
    this.#times[CLOCK / 2 + 1] = clock.uncertainty;
  }

  /** Makes room for so many records, all or none. Returns whether there is; if not, one event is lost. */
  room(records: number): boolean {
    const pending = this.#written - Atomics.load(this.#words, READ) >>> 0;
    if (pending + records <= RECORDS) return true;
    this.#words[LOST] = this.#words[LOST]! + 1;
    return false;
  }

  /** Adds a record, after {@linkcode room}. */
  add(kind: number, subject: number, a: number, b = 0, c = 0, d = 0, e = 0): void {
    const at = HEAD + (this.#next & RECORDS - 1) * WORDS;
    const words = this.#words;
    words[at] = kind | subject << 8;
    words[at + 1] = a;
    this.#times[at / 2 + 1] = performance.now();
    words[at + 4] = b;
    words[at + 5] = c;
    words[at + 6] = d;
    words[at + 7] = e;
    this.#next = this.#next + 1 >>> 0;
  }

  /** Shows what was added to the core. */
  show(): void {
    this.#written = this.#next;
    Atomics.store(this.#words, WRITTEN, this.#written);
  }

  /** Writes one record, if there is room. */
  write(kind: number, subject: number, a: number, b = 0, c = 0, d = 0, e = 0): void {
    if (!this.room(1)) return;
    this.add(kind, subject, a, b, c, d, e);
    this.show();
  }
}

/** A record as it was read: nothing in it is to be believed. */
export interface Read {
  readonly kind: number;
  /** Which queue, lane, window or vector. */
  readonly subject: number;
  /** On the clock of the writer's process, in milliseconds. */
  readonly time: number;
  readonly numbers: readonly number[];
}

/** The core's end. The driver could write anything there: that costs its trace, and nothing else. */
export class TraceReader {
  readonly #words: Uint32Array<SharedArrayBuffer>;
  readonly #times: Float64Array<SharedArrayBuffer>;
  #read = 0;
  #lost = 0;

  constructor(memory: SharedArrayBuffer, offset: number) {
    this.#words = new Uint32Array(memory, offset, TRACE_BYTES / 4);
    this.#times = new Float64Array(memory, offset, TRACE_BYTES / 8);
  }

  /** What the writer says of its clock. */
  get clock(): ClockFacts {
    return { offset: this.#times[CLOCK / 2]!, uncertainty: this.#times[CLOCK / 2 + 1]! };
  }

  /** Events that found no room since this was last asked. */
  lost(): number {
    const now = this.#words[LOST]!;
    const count = now - this.#lost >>> 0;
    this.#lost = now;
    return count;
  }

  /** Takes all records that are there. */
  take(): Read[] {
    const words = this.#words;
    const written = Atomics.load(words, WRITTEN);
    const pending = written - this.#read >>> 0;
    const found: Read[] = [];
    // More than there is room for cannot be: what is there is dropped.
    for (let i = 0; pending <= RECORDS && i < pending; i++) {
      const at = HEAD + (this.#read + i & RECORDS - 1) * WORDS;
      found.push({
        kind: words[at]! & 0xff,
        subject: words[at]! >>> 8,
        time: this.#times[at / 2 + 1]!,
        numbers: [words[at + 1]!, words[at + 4]!, words[at + 5]!, words[at + 6]!, words[at + 7]!],
      });
    }
    this.#read = written;
    Atomics.store(words, READ, written);
    return found;
  }
}
