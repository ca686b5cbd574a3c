import { assertEquals } from "@std/assert";
import { addressTable } from "../dma/address_table.ts";
import type { QueueLayout } from "../virtqueue/layout.ts";
import { makeDriverQueue } from "../virtqueue/driver_queue.ts";

const BYTES = 1 << 16;

/** A driver, its ring, and the notes: all that outlives a device. For the tests beside. */
export class FakeRing {
  readonly memory = new SharedArrayBuffer(BYTES);
  readonly notes: SharedArrayBuffer;
  readonly layout: QueueLayout;
  readonly inOrder: boolean;
  readonly back: number[] = [];
  readonly #driver;
  #next = 0;

  constructor(layout: QueueLayout, notesBytes: number, inOrder = false) {
    this.layout = layout;
    this.notes = new SharedArrayBuffer(notesBytes);
    this.inOrder = inOrder;
    this.#driver = makeDriverQueue({
      memory: this.memory,
      layout,
      addresses: addressTable([{ address: 0, length: BYTES }]),
      eventIndex: false,
      inOrder,
      notify: () => {},
    });
  }

  /** Makes a request of some buffers available, as many as it has numbers to tell it by. */
  submit(buffers = 1): boolean {
    this.#driver.begin(this.#next);
    for (let i = 0; i < buffers; i++) this.#driver.writable(this.layout.end, 16 + i);
    if (!this.#driver.commit()) return false;
    this.#driver.publish();
    this.#next++;
    return true;
  }

  collect(): void {
    this.#driver.drain((cookie) => this.back.push(cookie));
    assertEquals(this.#driver.broken, undefined);
  }

  /** Throws unless each request that was ever submitted has come back, once. */
  assertAllBack(): void {
    this.collect();
    const all = Array.from({ length: this.#next }, (_, i) => i);
    assertEquals(this.back.toSorted((a, b) => a - b), all);
  }
}

/** What may happen to a device, and between two of its writes. */
export const STEPS = [
  "submit",
  "take",
  "put",
  "publish",
  "collect",
  "end",
  "end between",
] as const;
