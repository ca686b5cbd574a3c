import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Model, powersOfTwo, queues, steps } from "./model_test.ts";
import { Rig } from "./rig_test.ts";

const WRAP = 65536;

/** How far the counters have come before; near the wrap as a rule. */
const starts = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 1, max: 40 }).map((left) => WRAP - left),
);

Deno.test("driver and device of a split virtqueue do what a virtqueue means", () => {
  fc.assert(
    fc.property(queues("split", powersOfTwo, false), starts, steps, (options, start, steps) => {
      const rig = new Rig(options);
      rig.advance(start);
      rig.driver.counters.published = rig.driver.counters.completed = 0;
      const model = new Model(rig);
      for (const step of steps) model.run(step);
      model.finish();
    }),
    { numRuns: 400 },
  );
});

for (const segments of [0, 4]) {
  for (const eventIndex of [false, true]) {
    Deno.test(`indices wrap many times, segments ${segments}, event index ${eventIndex}`, () => {
      for (const size of [1, 8, 256]) {
        const rig = new Rig({ size, segments, eventIndex });
        rig.advance(3 * WRAP + 5);
        assertEquals(rig.driver.counters.completed, 3 * WRAP + 5);
        assertEquals([rig.driver.inFlight, rig.driver.broken], [0, undefined]);
      }
    });
  }
}

/** Commits and publishes a request of one byte; returns whether the device was notified. */
function submitOne(rig: Rig): boolean {
  const { driver, data } = rig;
  const before = rig.notified.length;
  driver.begin(1);
  driver.writable(data, 1);
  assert(driver.commit());
  driver.publish();
  return rig.notified.length > before;
}

Deno.test("with the event index, an awake device is not notified", () => {
  const rig = new Rig({ size: 64, segments: 0, eventIndex: true });
  const notified = Array.from({ length: 10 }, () => submitOne(rig));
  assertEquals(notified.filter(Boolean).length, 1);
  while (rig.device.take(rig.chain));
  assertEquals(rig.device.arm(), false);
  assertEquals([submitOne(rig), submitOne(rig)], [true, false]);
});

Deno.test("without the event index, the device's flag decides", () => {
  const rig = new Rig({ size: 8, segments: 0, eventIndex: false });
  assert(submitOne(rig));
  rig.halves[rig.layout.device / 2] = 1;
  assert(!submitOne(rig));
  rig.device.arm();
  assert(submitOne(rig));
});

Deno.test("without the event index, the driver's flag decides about interrupts", () => {
  const rig = new Rig({ size: 8, segments: 0, eventIndex: false });
  const answer = () => {
    submitOne(rig);
    assert(rig.device.take(rig.chain));
    rig.device.put(rig.chain.head, 1);
    return rig.device.publish();
  };
  assert(answer());
  rig.halves[rig.layout.driver / 2] = 1;
  assert(!answer());
  assert(rig.driver.arm(), "something has come meanwhile");
  rig.driver.drain(() => {});
  assert(!rig.driver.arm());
  assert(answer());
});

Deno.test("nothing is published twice", () => {
  const rig = new Rig({ size: 8, segments: 0, eventIndex: false });
  rig.driver.publish();
  assertEquals(rig.notified, []);
  assertEquals(rig.device.publish(), false);
  submitOne(rig);
  rig.driver.publish();
  assertEquals([rig.notified.length, rig.driver.counters.published], [1, 1]);
});

Deno.test("a request that finds no room leaves no trace", () => {
  for (const segments of [0, 4]) {
    const rig = new Rig({ size: 2, segments, eventIndex: false });
    const { driver, data } = rig;
    submitOne(rig);
    submitOne(rig);
    for (let i = 0; i < 3; i++) {
      driver.begin(9);
      driver.readable(data, 5);
      driver.writable(data, 5);
      assertEquals(driver.commit(), false);
    }
    assertEquals(driver.inFlight, 2);
    while (rig.device.take(rig.chain)) rig.device.put(rig.chain.head, 1);
    rig.device.publish();
    const got: number[] = [];
    driver.drain((cookie) => got.push(cookie));
    assertEquals(got, [1, 1]);
    driver.begin(9);
    driver.readable(data, 5);
    driver.writable(data, 5);
    assert(driver.commit());
  }
});

Deno.test("a driver's mistakes are refused", () => {
  const rig = new Rig({ size: 4, segments: 0, eventIndex: false, dataPages: 1 });
  const { driver, data } = rig;
  const end = data + 4096;
  const wrong = [[-1, 1], [data, 0], [data, -1], [end, 1], [end - 1, 2], [NaN, 1], [data, NaN]];
  for (const [offset, length] of wrong) {
    driver.begin(0);
    assertThrows(() => driver.readable(offset!, length!), RangeError, "Cannot add");
    assertThrows(() => driver.writable(offset!, length!), RangeError, "Cannot add");
  }
  assertThrows(() => driver.commit(), Error, "without a buffer");
  driver.begin(0);
  driver.writable(data, 1);
  assertThrows(() => driver.readable(data, 1), Error, "follows a writable one");
  assertEquals(driver.inFlight, 0);
});

Deno.test("a request comes back from within the drain of another", () => {
  const rig = new Rig({ size: 1, segments: 0, eventIndex: true });
  submitOne(rig);
  for (let round = 0; round < 10; round++) {
    assert(rig.device.take(rig.chain));
    rig.device.put(rig.chain.head, 1);
    rig.device.publish();
    assertEquals(rig.driver.drain(() => submitOne(rig)), 1);
  }
  assertEquals(rig.driver.inFlight, 1);
});
