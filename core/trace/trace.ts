// What happens, on one clock.

import type { Actor, Told, TraceEvent } from "./event.ts";
import { type ClockFacts, Kind, type Read, TraceReader } from "./ring.ts";

/** What takes a trace: events in the order of their times, and at last its end. */
export interface TraceSink {
  /** Something happened. */
  event(event: TraceEvent): void;
  /** Nothing more comes. */
  end?(): void;
}

/** How often what drivers wrote is fetched, in milliseconds. */
const FETCH_MS = 20;
/** A driver may be kept for so long between taking the time and writing it down; then its event comes out of order. */
const LATE_MS = 10;
/** Events that wait to be put in order. */
const MOST_WAITING = 100_000;

/** The names of what a driver's records count. */
export interface TracedNames {
  readonly queues: readonly string[];
  readonly lanes: readonly string[];
  readonly windows: readonly string[];
}

/**
 * What happens, on one clock: events of the core as they come, those of drivers' processes from their rings. Where nothing is
 * traced there is none of this, and what is traced is chosen where it is made.
 */
export class Trace implements Disposable {
  readonly #sink: TraceSink;
  readonly #clock: ClockFacts;
  readonly #devices = new Set<DeviceTrace>();
  readonly #timer: ReturnType<typeof setInterval>;
  #waiting: TraceEvent[] = [];

  /** @param clock How this process's clock stands to the machine's. */
  constructor(sink: TraceSink, clock: ClockFacts) {
    this.#sink = sink;
    this.#clock = clock;
    this.#timer = setInterval(() => this.#fetch(LATE_MS), FETCH_MS);
  }

  /** The time, in milliseconds. */
  now(): number {
    return performance.now() + this.#clock.offset;
  }

  /** Begins the trace of a device. */
  device(address: string, driver: string): DeviceTrace {
    const device = new DeviceTrace(this, address, driver);
    this.#devices.add(device);
    device.tell({ kind: "clock", by: "core", uncertainty: this.#clock.uncertainty });
    return device;
  }

  /** No driver of a device tells anything more. For {@linkcode DeviceTrace}. */
  forget(device: DeviceTrace): void {
    this.#devices.delete(device);
  }

  /** Takes an event. For {@linkcode DeviceTrace}. */
  take(event: TraceEvent): void {
    this.#waiting.push(event);
    if (this.#waiting.length >= MOST_WAITING) this.#pass(this.now() - LATE_MS);
  }

  #fetch(late: number): void {
    const until = this.now() - late;
    for (const device of this.#devices) device.fetch();
    this.#pass(until);
  }

  #pass(until: number): void {
    const sorted = this.#waiting.sort((a, b) => a.at - b.at);
    const some = sorted.length < MOST_WAITING ? sorted.findIndex(({ at }) => at > until) : -1;
    const count = some < 0 ? sorted.length : some;
    this.#waiting = sorted.slice(count);
    for (let i = 0; i < count; i++) this.#sink.event(sorted[i]!);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#fetch(-Infinity);
    this.#sink.end?.();
  }
}

/** The trace of one device and its driver. */
export class DeviceTrace {
  readonly #trace: Trace;
  readonly #about: { readonly device: string; readonly driver: string };
  #reader: TraceReader | undefined;
  #names: TracedNames = { queues: [], lanes: [], windows: [] };
  /** Whether the driver that is there has told how its clock stands. */
  #clockTold = false;

  constructor(trace: Trace, device: string, driver: string) {
    this.#trace = trace;
    this.#about = { device, driver };
  }

  /** Tells what happens now. */
  tell(what: Told): void {
    this.#tellAt(this.#trace.now(), what);
  }

  #tellAt(at: number, what: Told): void {
    this.#trace.take({ at, ...this.#about, ...what });
  }

  /** Reads what the driver writes there from now on. */
  listen(memory: SharedArrayBuffer, offset: number): void {
    this.#reader = new TraceReader(memory, offset);
  }

  /** Takes what the driver has written, for the last time: its memory is let go of. */
  forget(): void {
    this.fetch();
    this.#reader = undefined;
    this.#trace.forget(this);
  }

  /** A driver begins, and these are the names of what it has. */
  named(names: TracedNames): void {
    this.fetch();
    this.#names = names;
    this.#clockTold = false;
  }

  /** Takes what the driver has written. */
  fetch(): void {
    const reader = this.#reader;
    if (!reader) return;
    const now = this.#trace.now();
    const records = reader.take();
    const { offset, uncertainty } = reader.clock;
    if (records.length > 0 && !this.#clockTold) {
      this.#clockTold = true;
      this.tell({
        kind: "clock",
        by: "driver",
        uncertainty: Number.isFinite(uncertainty) ? uncertainty : 0,
      });
    }
    for (let i = 0; i < records.length;) {
      const record = records[i]!;
      // The driver's word, of which nothing depends: what cannot be is taken for now.
      const time = record.time + offset;
      const at = time > 0 && time <= now ? time : now;
      const parts = record.kind === Kind.request
        ? Math.min(record.numbers[3]!, records.length - i - 1)
        : 0;
      const told = this.#told(record, records.slice(i + 1, i + 1 + parts));
      if (told) this.#tellAt(at, told);
      i += 1 + parts;
    }
    const lost = reader.lost();
    if (lost > 0) {
      const why = "the driver told more than the core could fetch";
      this.tell({ kind: "lost", by: "driver", count: lost, why });
    }
  }

  #told({ kind, subject, numbers }: Read, parts: readonly Read[]): Told | undefined {
    const [a, b, c, , e] = numbers as [number, number, number, number, number];
    const by: Actor = "driver";
    const name = (list: readonly string[]) => list[subject] ?? `${subject}`;
    const queue = name(this.#names.queues);
    const lane = name(this.#names.lanes);
    switch (kind) {
      case Kind.request:
        return {
          kind: "request",
          by,
          queue,
          number: b,
          cookie: a,
          id: c,
          indirect: e !== 0,
          descriptors: parts.map(({ numbers: [slot, low, high, bytes, write] }) => ({
            slot: slot!,
            address: `0x${(high! * 2 ** 32 + low!).toString(16)}`,
            bytes: bytes!,
            write: write !== 0,
          })),
        };
      case Kind.publish:
        return { kind: "publish", by, queue, requests: a };
      case Kind.used:
        return { kind: "used", by, queue, number: b, cookie: a, written: c };
      case Kind.doorbell:
        return { kind: "doorbell", by, queue, data: a };
      case Kind.interrupt:
        return { kind: "interrupt", by, source: `interrupt ${subject}` };
      case Kind.take:
        return { kind: "lane", by, step: "take", lane, slot: a, words: numbers.slice(1) };
      case Kind.complete:
        return { kind: "lane", by, step: "complete", lane, slot: a, words: [b, c] };
      case Kind.register: {
        const window = name(this.#names.windows);
        const access = numbers[3] !== 0 ? "write" : "read";
        return { kind: "register", by, access, window, offset: a, width: c, value: b };
      }
    }
    return undefined;
  }
}
