import {
  argument,
  type ClientLane,
  type OpenClient,
  RequestError,
  Status,
  Word,
} from "../../core/class/mod.ts";
import { EntropyHealth, type EntropyTest } from "./health.ts";

/** Something that random bytes come from. */
export interface EntropySource {
  /** Random bytes. */
  read(length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** What is known of the health of a source. */
export interface EntropyState {
  /** Whether the last answer was good; `"untested"` before the first one. */
  readonly state: "untested" | "good" | "failed";
  /** Answers that came. */
  readonly answers: number;
  /** Answers without a single byte. */
  readonly empty: number;
  /** Bytes that passed the tests. */
  readonly bytes: number;
  /** Answers that failed each test, and were thrown away. */
  readonly failures: Readonly<Record<EntropyTest, number>>;
  /** Bytes that passed the tests and wait for a reader. */
  readonly ahead: number;
}

interface Reader {
  readonly bytes: Uint8Array;
  /** Their number; they may be taken away. */
  readonly length: number;
  done: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Bytes that passed the tests: a copy of a slot's. */
interface Stock {
  readonly slot: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  at: number;
  end: number;
}

/** So many bad answers in a row, and all readers are told. */
const PATIENCE = 8;
/** How long to wait after the first bad answer, in milliseconds; twice as long after each further one. */
const PAUSE_MS = 5;
/** Bytes of a piece of {@linkcode EntropyClient.stream}. */
const STREAM_BYTES = 4096;

/**
 * An application's view of an entropy device.
 *
 * From the first read on some requests are always ahead of the readers: one more after each answer that is full, and only
 * one after one that is not, since such a device is short of bytes. What comes is copied, tested, handed out once, and
 * wiped wherever it was.
 */
export class EntropyClient implements EntropySource {
  readonly #lane: ClientLane;
  readonly #health = new EntropyHealth();
  readonly #readers: Reader[] = [];
  readonly #stock: Stock[] = [];
  readonly #copies: Uint8Array<ArrayBuffer>[];
  /** Requests with the device, and answers that wait for readers, that there may be together. */
  #depth = 1;
  /** Bad answers in a row. */
  #bad = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #state: EntropyState["state"] = "untested";
  #answers = 0;
  #empty = 0;
  #bytes = 0;
  readonly #failures: Record<EntropyTest, number> = {
    "repetition count": 0,
    "adaptive proportion": 0,
    "earlier answer again": 0,
  };

  /** Makes the client of a source; for the class. */
  static open({ requests }: { readonly requests: ClientLane }): OpenClient<EntropyClient> {
    const client = new EntropyClient(requests);
    return { client, close: () => client.#close() };
  }

  private constructor(lane: ClientLane) {
    this.#lane = lane;
    this.#copies = Array.from({ length: lane.slots }, () => new Uint8Array(lane.slotBytes));
  }

  /**
   * Random bytes from the device.
   *
   * @param length How many.
   * @throws RequestError If the device delivers none, or only such as fail the health tests.
   */
  async read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    argument.integer(length, "EntropyClient.read", "length");
    const bytes = argument.room(length, `Cannot read ${length} random bytes`);
    await this.readInto(bytes);
    return bytes;
  }

  /**
   * Fills `bytes`, which must not be used until the promise settles, as {@linkcode read} does.
   *
   * @throws TypeError If the buffer is transferred or resized meanwhile.
   */
  async readInto(bytes: Uint8Array): Promise<void> {
    const own = argument.bytes(bytes, "EntropyClient.readInto", "bytes");
    const { length } = own;
    if (length === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#readers.push({ bytes: own, length, done: 0, resolve, reject });
      this.#feed();
    });
  }

  /** Random bytes without end, read as fast as they are taken. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({
      pull: async (controller) => controller.enqueue(await this.read(STREAM_BYTES)),
    }, { highWaterMark: 0 });
  }

  /** How healthy the device seems. */
  get health(): EntropyState {
    return {
      state: this.#state,
      answers: this.#answers,
      empty: this.#empty,
      bytes: this.#bytes,
      failures: { ...this.#failures },
      ahead: this.#stock.reduce((sum, { at, end }) => sum + end - at, 0),
    };
  }

  /** Wipes what was not read, and tells all readers. */
  #close(): Promise<void> {
    this.#closed = true;
    this.#feed();
    return Promise.resolve();
  }

  /** Hands out what there is, and asks for more. */
  #feed(): void {
    if (this.#closed || this.#lane.gone) {
      for (const { slot, bytes } of this.#stock.splice(0)) {
        bytes.fill(0);
        this.#lane.release(slot);
      }
      return this.#refuse(new RequestError("Cannot read random bytes", Status.gone));
    }
    this.#serve();
    if (this.#pause !== undefined) return;
    while (this.#lane.inFlight + this.#stock.length < this.#depth && this.#request());
    this.#lane.publish();
  }

  #serve(): void {
    for (;;) {
      const [reader] = this.#readers;
      const [stock] = this.#stock;
      if (!reader || !stock) return;
      if (argument.isLost(reader.bytes, reader.length)) {
        this.#readers.shift();
        reader.reject(argument.lostError(`Cannot read ${reader.length} random bytes`));
        continue;
      }
      const length = Math.min(reader.length - reader.done, stock.end - stock.at);
      const piece = stock.bytes.subarray(stock.at, stock.at + length);
      reader.bytes.set(piece, reader.done);
      // These bytes are a reader's secret now; no other shall find them here.
      piece.fill(0);
      reader.done += length;
      stock.at += length;
      if (stock.at === stock.end) {
        this.#stock.shift();
        this.#lane.release(stock.slot);
      }
      if (reader.done === reader.length) {
        this.#readers.shift();
        reader.resolve();
      }
    }
  }

  #request(): boolean {
    const lane = this.#lane;
    const slot = lane.take();
    if (slot < 0) return false;
    lane.setWord(slot, Word.length, lane.slotBytes);
    lane.submit(slot, (_, status, length) => {
      const data = lane.data(slot);
      const copy = this.#copies[slot]!.subarray(0, length);
      copy.set(data.subarray(0, length));
      // What the device wrote, and did not tell of, goes too: it would pass as new the next time.
      data.fill(0);
      if (status === Status.ok) this.#take(slot, copy);
      else {
        copy.fill(0);
        lane.release(slot);
        this.#refuse(new RequestError("Cannot read random bytes", status));
      }
    });
    return true;
  }

  /** Takes an answer, if it is good. */
  #take(slot: number, copy: Uint8Array<ArrayBuffer>): void {
    this.#answers++;
    const failed = copy.length === 0 ? undefined : this.#health.test(copy);
    if (copy.length > 0 && !failed) {
      const full = copy.length === this.#lane.slotBytes;
      this.#depth = full ? Math.min(this.#depth + 1, this.#lane.slots) : 1;
      this.#bad = 0;
      this.#state = "good";
      this.#bytes += copy.length;
      this.#stock.push({ slot, bytes: copy, at: 0, end: copy.length });
      return this.#feed();
    }
    copy.fill(0);
    this.#lane.release(slot);
    this.#depth = 1;
    if (failed) {
      this.#failures[failed]++;
      this.#state = "failed";
    } else this.#empty++;
    if (++this.#bad >= PATIENCE) {
      const why = failed ? `the last one failed the test "${failed}"` : "the last one was empty";
      const action = `Cannot read random bytes: ${this.#bad} bad answers in a row, ${why}`;
      this.#bad = 0;
      this.#refuse(new RequestError(action, Status.invalid));
    } else if (this.#readers.length > 0) {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => {
        this.#pause = undefined;
        this.#feed();
      }, PAUSE_MS * 2 ** (this.#bad - 1));
    }
  }

  /** Tells all readers that there is nothing for them. */
  #refuse(error: RequestError): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    for (const { bytes, length, done, reject } of this.#readers.splice(0)) {
      if (!argument.isLost(bytes, length)) bytes.fill(0, 0, done);
      reject(error);
    }
  }
}
