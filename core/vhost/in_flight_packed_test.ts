import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { chain, DriverFault } from "../virtqueue/device_queue.ts";
import { layoutPacked } from "../virtqueue/layout.ts";
import { PackedDevice } from "../virtqueue/packed_device.ts";
import { FakeRing, STEPS } from "./fake_ring_test.ts";
import { PackedInFlightNotes, packedNotesBytes } from "./in_flight_packed.ts";

const SIZE = 8;
/** Of a ring that was never used: both wrap counters are set. */
const BEGIN = { available: 0x8000, used: 0x8000 };

/** A packed ring, and notes about it. */
const makeRing = (inOrder: boolean) =>
  new FakeRing(layoutPacked(0, SIZE, 0), packedNotesBytes(SIZE), inOrder);

/** A device that can end at any step. */
class Device {
  readonly chain = chain(SIZE);
  readonly out: { readonly head: number; readonly written: number }[] = [];
  readonly honest: PackedDevice;
  readonly queue;
  readonly #inOrder: boolean;
  /** Those that were taken, in that order; and those that were given back since something was shown. */
  #order: number[] = [];
  #put: number[] = [];

  constructor({ memory, layout, inOrder, notes: into }: FakeRing) {
    this.#inOrder = inOrder;
    const ring = { memory, descriptors: layout.descriptors, size: SIZE, inOrder };
    const notes = new PackedInFlightNotes(into, 0, ring, BEGIN);
    this.honest = new PackedDevice({
      memory,
      ...layout,
      translate: (address) => address,
      indirect: false,
      eventIndex: false,
      inOrder,
      from: notes.place,
    });
    this.queue = notes.keep(this.honest);
    for (const taken of notes.taken) {
      this.honest.takeAgain(this.chain, taken);
      this.#took();
    }
  }

  take(): boolean {
    if (!this.queue.take(this.chain)) return false;
    this.#took();
    return true;
  }

  /** What it has of a request is what the driver put there, whatever became of the ring meanwhile. */
  #took(): void {
    const { head, count, length } = this.chain;
    assertEquals([...length.subarray(0, count)], Array.from({ length: count }, (_, i) => 16 + i));
    // An in-order driver takes all before the last of a batch as completely written.
    this.#order = [...this.#order.filter((each) => each !== head), head];
    this.out.push({ head, written: length.subarray(0, count).reduce((a, b) => a + b, 0) });
  }

  put(pick: number): void {
    const [each] = this.out.splice(pick % this.out.length, 1);
    if (!each) return;
    this.#put.push(each.head);
    this.queue.put(each.head, each.written);
  }

  publish(): void {
    this.queue.publish();
    // In order, what is finished early waits for those before it.
    const first = Math.min(...this.out.map(({ head }) => this.#order.indexOf(head)), Infinity);
    this.#put = this.#put.filter((head) => this.#inOrder && this.#order.indexOf(head) > first);
  }

  /** The requests that the driver has not back: the next device must find them. */
  get unshown(): number[] {
    return [...this.out.map(({ head }) => head), ...this.#put].sort((a, b) => a - b);
  }
}

for (const inOrder of [false, true]) {
  const kind = inOrder ? "packed, in order" : "packed";
  Deno.test(`a device that ends at any step leaves notes by which the next one answers all, once (${kind}) #core:vhost_in_flight`, () => {
    const step = fc.record({ what: fc.constantFrom(...STEPS), pick: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const ring = makeRing(inOrder);
        let device: Device | undefined;
        for (const { what, pick } of steps) {
          if (what === "submit") {
            ring.submit(1 + pick % 3);
            continue;
          }
          if (what === "collect") {
            ring.collect();
            continue;
          }
          // While there is none, the driver goes on.
          device ??= new Device(ring);
          if (what === "take") device.take();
          else if (what === "put") device.put(pick);
          else if (what === "publish") device.publish();
          else {
            if (what === "end between") {
              // The ring shows it already, and the notes do not.
              const written = new Uint8Array(ring.notes).slice();
              device.publish();
              betweenTwoWrites(ring, written);
            }
            const left = device.unshown;
            device = undefined;
            assertEquals(new Device(ring).unshown, left);
          }
        }
        // Whatever has happened, in the end all come back.
        device = new Device(ring);
        while (device.take());
        while (device.out.length > 0) device.put(device.out.length - 1);
        device.publish();
        ring.assertAllBack();
        assertEquals(new Device(ring).out, []);
      }),
      { numRuns: 1000 },
    );
  });
}

Deno.test("what a device wrote and did not come to show is not seen, whatever the next one gives back first #core:vhost_in_flight", () => {
  const ring = makeRing(false);
  for (let i = 0; i < 3; i++) ring.submit(1);
  const device = new Device(ring);
  while (device.take());
  for (let i = 0; i < 3; i++) device.put(0);
  const next = new Device(ring);
  next.put(2);
  next.publish();
  ring.collect();
  assertEquals(ring.back, [2]);
  next.put(0);
  next.put(0);
  next.publish();
  ring.collect();
  assertEquals(ring.back, [2, 0, 1]);
});

/** Takes back what was noted after the ring showed it: which requests are out, and the places of before. */
function betweenTwoWrites(ring: FakeRing, before: Uint8Array): void {
  const bytes = new Uint8Array(ring.notes);
  for (const old of [14, 15, 18, 19, 21]) bytes[old] = before[old]!;
  for (let i = 0; i < SIZE; i++) bytes[32 + 32 * i] = before[32 + 32 * i]!;
}

Deno.test("notes about a packed ring that the other side has spoilt are no harm #core:vhost_in_flight", () => {
  const bytes = packedNotesBytes(SIZE);
  fc.assert(fc.property(
    fc.uint8Array({ minLength: bytes, maxLength: bytes }),
    fc.boolean(),
    (spoilt, valid) => {
      const ring = makeRing(false);
      const at = new Uint8Array(ring.notes);
      at.set(spoilt.map((byte, i) => i % 2 ? 0 : byte % (SIZE + 1)));
      if (valid) at.set([1, 0, SIZE, 0], 8);
      try {
        const { out } = new Device(ring);
        assertEquals(new Set(out).size, out.length);
      } catch (error) {
        // What it has of a request is no request of the driver's.
        if ((error as Error).name !== "AssertionError" && !(error instanceof DriverFault)) {
          throw error;
        }
      }
    },
  ));
});

Deno.test("notes about a packed ring that contradict themselves are refused by a sentence #core:vhost_in_flight", () => {
  const cases: readonly (readonly [string, (halves: Uint16Array, bytes: Uint8Array) => void])[] = [
    ["entry 0 is free twice", (halves) => halves[(32 + 2) / 2] = 0],
    ["it is at 8", (halves) => halves[18 / 2] = 8],
    ["entry 0 is out twice", (_, bytes) => {
      // Free, and the second of a request that is out.
      bytes.set([1], 32 + 32 * 7);
      bytes.set([2], 32 + 32 * 7 + 6);
      bytes.set([0, 0], 32 + 32 * 7 + 2);
      bytes.set([7, 0], 32 + 32 * 6 + 2);
      bytes.set([8, 0], 32 + 32 * 6 + 2);
    }],
  ];
  for (const [sentence, spoil] of cases) {
    const ring = makeRing(false);
    new Device(ring);
    spoil(new Uint16Array(ring.notes), new Uint8Array(ring.notes));
    assertThrows(() => new Device(ring), DriverFault, sentence);
  }
});
