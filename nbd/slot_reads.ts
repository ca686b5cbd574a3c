import { BlockOperation, type DiskSlots, SECTOR } from "../classes/block/protocol.ts";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import type { Export } from "./export.ts";
import type { Agreement } from "./negotiation.ts";
import type { Output } from "./output.ts";
import { REQUEST_BYTES } from "./protocol.ts";
import { headBytes, putHead } from "./read_answer.ts";

/** What reads need of their connection. */
export interface SlotReadsPort {
  /** Where answers go. */
  readonly output: Output;
  /** A request begins that holds so many bytes. */
  readonly begin: (held: number) => void;
  /** It has ended. */
  readonly end: (held: number) => void;
  /** Its answer has to wait, and holds them until it is sent. */
  readonly answer: (bytes: Uint8Array<ArrayBuffer>, held: number) => void;
  /** The device could not do it. */
  readonly refuse: (cookieHigh: number, cookieLow: number, held: number, error: Error) => void;
}

/**
 * Reads of one client that fit a slot of the disk: nothing is made for one. What a read is about stands under the number of
 * its slot, whose data goes to the output as it comes.
 */
export class SlotReads {
  readonly #export: Export;
  readonly #slots: DiskSlots;
  readonly #agreement: Agreement;
  readonly #port: SlotReadsPort;
  readonly #head: number;
  readonly #cookies: Uint32Array<ArrayBuffer>;
  readonly #offsets: Float64Array<ArrayBuffer>;
  /** What was read into each slot, as long as it was last. */
  readonly #data: Uint8Array<SharedArrayBuffer>[];
  #submitted = false;

  constructor(served: Export, slots: DiskSlots, agreement: Agreement, port: SlotReadsPort) {
    this.#export = served;
    this.#slots = slots;
    this.#agreement = agreement;
    this.#port = port;
    this.#head = headBytes(agreement.structured);
    this.#cookies = new Uint32Array(2 * slots.count);
    this.#offsets = new Float64Array(slots.count);
    this.#data = Array.from({ length: slots.count }, (_, slot) => slots.data(slot));
  }

  /** Begins a read with which all is well, if there is a slot for it. Returns whether it is begun. */
  begin(cookieHigh: number, cookieLow: number, offset: number, length: number): boolean {
    const { size, blockSize, medium } = this.#agreement;
    const { disk } = this.#export;
    const fits = length > 0 && length <= this.#slots.bytes && offset % blockSize === 0 &&
      length % blockSize === 0 && offset + length <= Math.min(size, disk.capacity);
    if (!fits || disk.medium !== medium) return false;
    const slot = this.#slots.take();
    if (slot < 0) return false;
    this.#cookies[2 * slot] = cookieHigh;
    this.#cookies[2 * slot + 1] = cookieLow;
    this.#offsets[slot] = offset;
    if (this.#data[slot]!.length !== length) {
      this.#data[slot] = this.#slots.data(slot).subarray(0, length);
    }
    this.#port.begin(REQUEST_BYTES + length);
    this.#slots.submit(slot, BlockOperation.read, offset / SECTOR, length, this.#done);
    this.#submitted = true;
    return true;
  }

  /** Shows the disk what was begun. */
  publish(): void {
    if (!this.#submitted) return;
    this.#submitted = false;
    this.#slots.publish();
  }

  readonly #done = (slot: number, status: number, moved: number): void => {
    const data = this.#data[slot]!;
    const held = REQUEST_BYTES + data.length;
    const same = this.#export.disk.medium === this.#agreement.medium;
    if (status === Status.ok && moved === data.length && same) this.#answer(slot, held);
    else {
      const [high, low] = [this.#cookies[2 * slot]!, this.#cookies[2 * slot + 1]!];
      const error = new RequestError(
        `Cannot read ${data.length} bytes at ${this.#offsets[slot]!}`,
        status || Status.invalid,
      );
      this.#port.refuse(high, low, held, error);
    }
    this.#slots.release(slot);
  };

  #answer(slot: number, held: number): void {
    const { output } = this.#port;
    const length = this.#head + this.#data[slot]!.length;
    const at = output.place(length);
    if (at >= 0) {
      this.#put(slot, output.bytes, output.view, at);
      return this.#port.end(held);
    }
    // A slow client must not keep a slot from others.
    const bytes = this.#export.buffers.take(length);
    this.#put(slot, bytes, new DataView(bytes.buffer, bytes.byteOffset), 0);
    this.#port.answer(bytes, held);
  }

  #put(
    slot: number,
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    at: number,
  ): void {
    const { structured } = this.#agreement;
    const data = this.#data[slot]!;
    const [high, low] = [this.#cookies[2 * slot]!, this.#cookies[2 * slot + 1]!];
    putHead(view, at, structured, high, low, this.#offsets[slot]!, data.length);
    bytes.set(data, at + this.#head);
  }
}
