// Both ends of a lane that tell what goes through it.

import { ClientLane, type Done, type LanePort } from "../bus/client_lane.ts";
import { DriverLane } from "../bus/driver_lane.ts";
import { type LaneLayout, Word } from "../bus/lane.ts";
import type { Told } from "./event.ts";
import { Kind, type TraceWriter } from "./ring.ts";

/** The driver's end. */
export class TracedDriverLane extends DriverLane {
  readonly #trace: TraceWriter;
  readonly #subject: number;
  /** The slot for which there was no room: it comes again, and was told. */
  #refused = -1;

  /** @param subject Which of the driver's lanes it is. */
  constructor(control: SharedArrayBuffer, layout: LaneLayout, subject: number, trace: TraceWriter) {
    super(control, layout);
    this.#subject = subject;
    this.#trace = trace;
  }

  override take(start: (slot: number) => boolean): void {
    super.take((slot) => {
      if (slot !== this.#refused) {
        const word = (at: number) => this.word(slot, at);
        const { operation, length, first } = Word;
        this.#trace.write(
          Kind.take,
          this.#subject,
          slot,
          word(operation),
          word(length),
          word(first),
          word(first + 1),
        );
      }
      const taken = start(slot);
      this.#refused = taken ? -1 : slot;
      return taken;
    });
  }

  override complete(slot: number, status: number, length: number): void {
    this.#trace.write(Kind.complete, this.#subject, slot, status, length);
    super.complete(slot, status, length);
  }
}

/** The client's end. */
export class TracedClientLane extends ClientLane {
  readonly #name: string;
  readonly #tell: (event: Told) => void;
  /** What the client asked, which the driver could change. */
  readonly #asked: Uint32Array<ArrayBuffer>;

  constructor(layout: LaneLayout, port: LanePort, tell: (event: Told) => void) {
    super(layout, port);
    this.#name = layout.name;
    this.#tell = tell;
    this.#asked = new Uint32Array(layout.slots * 8);
  }

  override setWord(slot: number, word: number, value: number): void {
    this.#asked[slot * 8 + word] = value;
    super.setWord(slot, word, value);
  }

  override submit(slot: number, done: Done, once = false): void {
    const told: Done = (slot, status, length) => {
      this.#say("end", slot, [status, length]);
      done(slot, status, length);
    };
    super.submit(slot, told, once);
    const { operation, length, first } = Word;
    const words = [operation, length, first, first + 1].map((at) => this.#asked[slot * 8 + at]!);
    this.#say("submit", slot, words);
  }

  #say(step: "submit" | "end", slot: number, words: readonly number[]): void {
    this.#tell({ kind: "lane", by: "client", step, lane: this.#name, slot, words });
  }
}
