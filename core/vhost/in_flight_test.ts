import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { chain } from "../virtqueue/device_queue.ts";
import { layoutSplit } from "../virtqueue/layout.ts";
import { SplitDevice } from "../virtqueue/split_device.ts";
import { FakeRing, STEPS } from "./fake_ring_test.ts";
import { InFlightNotes, notesBytes } from "./in_flight.ts";

const SIZE = 8;

/** A device that can end at any step. */
class Device {
  readonly chain = chain(SIZE);
  readonly out: number[] = [];
  readonly honest: SplitDevice;
  readonly queue;

  constructor(ring: FakeRing) {
    const { memory, layout } = ring;
    const used = new Uint16Array(memory)[layout.device / 2 + 1]!;
    const notes = new InFlightNotes(ring.notes, 0, SIZE, used);
    this.honest = new SplitDevice({
      memory,
      ...layout,
      translate: (address) => address,
      indirect: false,
      eventIndex: false,
      from: notes.place,
    });
    this.queue = notes.keep(this.honest);
    for (const each of notes.taken) {
      this.honest.takeAgain(this.chain, each);
      this.out.push(this.chain.head);
    }
  }
}

Deno.test("a device that ends at any step leaves notes by which the next one answers all, once #core:vhost_in_flight", () => {
  const step = fc.record({ what: fc.constantFrom(...STEPS), pick: fc.nat(7) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ring = new FakeRing(layoutSplit(0, SIZE, 0), notesBytes(SIZE));
      let device = new Device(ring);
      for (const { what, pick } of steps) {
        if (what === "submit") ring.submit();
        else if (what === "take") {
          if (device.queue.take(device.chain)) device.out.push(device.chain.head);
        } else if (what === "put" && device.out.length > 0) {
          const [head] = device.out.splice(pick % device.out.length, 1);
          device.queue.put(head!, 4);
        } else if (what === "publish") device.queue.publish();
        else if (what === "collect") ring.collect();
        else if (what === "end") device = new Device(ring);
        else if (what === "end between") {
          // The ring shows it already, and the notes do not.
          device.honest.publish();
          device = new Device(ring);
        }
      }
      // Whatever has happened, in the end all come back.
      device = new Device(ring);
      while (device.queue.take(device.chain)) device.out.push(device.chain.head);
      for (const head of device.out) device.queue.put(head, 4);
      device.queue.publish();
      ring.assertAllBack();
      assertEquals(new Device(ring).out, []);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("notes that the other side has spoilt are no harm #core:vhost_in_flight", () => {
  fc.assert(fc.property(
    fc.uint8Array({ minLength: notesBytes(SIZE), maxLength: notesBytes(SIZE) }),
    fc.nat(65535),
    fc.boolean(),
    (spoilt, used, valid) => {
      const memory = new SharedArrayBuffer(notesBytes(SIZE));
      const bytes = new Uint8Array(memory);
      bytes.set(spoilt);
      if (valid) bytes.set([1, 0, SIZE, 0], 8);
      const notes = new InFlightNotes(memory, 0, SIZE, used);
      const heads = notes.taken.map(({ head }) => head);
      assertEquals(new Set(heads).size, heads.length);
      assertEquals(heads.every((head) => head < SIZE), true);
      if (!valid && (spoilt[8] !== 1 || spoilt[10] !== SIZE)) assertEquals(heads, []);
    },
  ));
});
