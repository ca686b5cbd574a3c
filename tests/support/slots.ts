import { assert, assertEquals } from "@std/assert";
import { BlockOperation } from "../../classes/block/protocol.ts";
import type { BlockSlots } from "../../classes/block/slots.ts";
import { Status } from "../../core/bus/lane.ts";
import { soon } from "./leaks.ts";
import { pattern } from "./machine.ts";
import { differsAt } from "./qemu.ts";

/** Slots that a load takes. */
export const LOAD_SLOTS = 64;
/** The most bytes that it has for each. */
const MOST_PLACE = 32 * 1024;

/** Writes and reads a disk without promises: all slots at once, waited for by hand. Does the same to `wanted`, from `at` on. */
export function useSlots(slots: BlockSlots, wanted: Uint8Array, at: number): void {
  const count = Math.min(slots.count, 32);
  const place = (i: number) => at + i * 4096;
  const ended: number[] = [];
  const run = (operation: number) => {
    ended.length = 0;
    for (let i = 0; i < count; i++) {
      const slot = slots.take();
      assert(slot >= 0);
      if (operation === BlockOperation.write) slots.data(slot).set(pattern(4096, 2000 + i));
      else slots.data(slot).fill(0, 0, 4096);
      slots.submit(slot, operation, place(i) / 512, 4096, (slot, status, length) => {
        assertEquals([status, length], [Status.ok, 4096]);
        if (operation === BlockOperation.read) {
          assertEquals(differsAt(slots.data(slot).slice(0, 4096), pattern(4096, 2000 + i)), -1);
        }
        slots.release(slot);
        ended.push(i);
      });
    }
    slots.publish();
    using _polling = slots.busyPoll();
    while (slots.inFlight > 0) assert(slots.wait(5000) > 0, "nothing ended");
    assertEquals(ended.toSorted((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
  };
  run(BlockOperation.write);
  run(BlockOperation.read);
  for (let i = 0; i < count; i++) wanted.set(pattern(4096, 2000 + i), place(i));
}

/** Requests by slots, each counted when it ends. Every slot has its place on the disk, written and read in turn. */
export class SlotLoad {
  /** What should stand on the disk. */
  readonly wanted: Uint8Array<ArrayBuffer>;
  /** How often each request ended. */
  readonly ends: number[] = [];
  /** Ends other than good ones. */
  readonly failures: number[] = [];
  /** Reads that gave what was not written. */
  wrong = 0;
  #over = false;
  #inFlight = 0;
  readonly #slots: BlockSlots;
  /** Bytes of each place. */
  readonly #place: number;
  readonly #idle = Promise.withResolvers<void>();

  constructor({ slots, capacity }: { readonly slots: BlockSlots; readonly capacity: number }) {
    this.wanted = new Uint8Array(capacity);
    this.#slots = slots;
    this.#place = Math.min(MOST_PLACE, capacity / LOAD_SLOTS);
    for (let place = 0; place < LOAD_SLOTS; place++) this.#write(place, slots.take(), 1);
    slots.publish();
  }

  /** How many have ended. */
  get ended(): number {
    return this.ends.length - this.#inFlight;
  }

  /** Waits until so many more have ended. */
  async progress(more = 200): Promise<void> {
    const goal = this.ended + more;
    assert(await soon(() => this.ended >= goal), `it stands still at ${this.ended}`);
  }

  /** Lets what is in flight end, and checks all of it. */
  async finish(): Promise<void> {
    this.#over = true;
    await this.#idle.promise;
    // A second end would come now.
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(this.ends.filter((count) => count !== 1), []);
    assertEquals(this.wrong, 0);
  }

  #write(place: number, slot: number, round: number): void {
    const bytes = pattern(
      512 * (1 + (place + round) % (this.#place / 512)),
      place * 1000 + round,
    );
    this.#slots.data(slot).set(bytes);
    this.wanted.set(bytes, place * this.#place);
    this.#submit(place, slot, BlockOperation.write, bytes, round);
  }

  #submit(
    place: number,
    slot: number,
    operation: number,
    bytes: Uint8Array,
    round: number,
  ): void {
    const slots = this.#slots;
    const id = this.ends.push(0) - 1;
    this.#inFlight++;
    slots.submit(slot, operation, place * this.#place / 512, bytes.length, (_, status) => {
      if (this.ends[id]!++ > 0) return;
      this.#inFlight--;
      if (status !== Status.ok) this.failures.push(status);
      else if (operation === BlockOperation.read) {
        if (differsAt(slots.data(slot).slice(0, bytes.length), bytes) !== -1) this.wrong++;
      }
      if (status !== Status.ok || this.#over) {
        if (this.#inFlight === 0) this.#idle.resolve();
        return;
      }
      if (operation === BlockOperation.read) this.#write(place, slot, round + 1);
      else {
        slots.data(slot).fill(0, 0, bytes.length);
        this.#submit(place, slot, BlockOperation.read, bytes, round);
      }
      slots.publish();
    });
  }
}
