import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { wanted } from "./event_index.ts";
import { layoutPacked, wrongSize } from "./layout.ts";
import { anySizes, Model, powersOfTwo, queues, steps } from "./model_test.ts";
import { Rig } from "./rig_test.ts";

const plain = { segments: 0, eventIndex: false, inOrder: false, runPages: 1000 } as const;

Deno.test("driver and device of a packed virtqueue do what a virtqueue means", () => {
  fc.assert(
    fc.property(
      queues("packed", anySizes, false),
      fc.array(steps, { maxLength: 3 }),
      (options, lives) => {
        const model = new Model(new Rig(options));
        for (const [life, steps] of lives.entries()) {
          // Each life but the first begins with a reset in the midst of things.
          if (life > 0) model.restart();
          for (const step of steps) model.run(step);
        }
        model.finish();
      },
    ),
    { numRuns: 1500 },
  );
});

Deno.test("a driver cannot tell a packed virtqueue from a split one", () => {
  const inOrder = fc.boolean();
  fc.assert(
    fc.property(
      powersOfTwo,
      queues("split", powersOfTwo, false),
      inOrder,
      steps,
      (size, any, inOrder, steps) => {
        const results = (["split", "packed"] as const).map((kind) => {
          const rig = new Rig({ ...any, kind, size, inOrder });
          const model = new Model(rig);
          for (const step of steps) model.run(step);
          model.finish();
          const { published, completed, overlong } = rig.driver.counters;
          return { results: model.results, published, completed, overlong };
        });
        assertEquals(results[0], results[1]);
      },
    ),
    { numRuns: 300 },
  );
});

for (const size of [1, 2, 3, 7, 256, 299]) {
  Deno.test(`rounds of a packed ring of ${size} follow each other`, () => {
    for (const eventIndex of [false, true]) {
      for (const segments of [0, 4]) {
        const rig = new Rig({ ...plain, kind: "packed", size, eventIndex, segments });
        let cookie = 0;
        for (let round = 0; round < 3000; round++) {
          const first = cookie;
          const buffers = 1 + round % Math.min(3, size);
          while (cookie - first < 1 + round % 5 && rig.submit(cookie, buffers)) cookie++;
          rig.driver.publish();
          const heads = rig.takeAll();
          assertEquals(heads.length, cookie - first);
          // Out of order, so that the names of the requests mix.
          for (const head of heads.reverse()) rig.device.put(head, head % 16);
          rig.device.publish();
          const back = rig.drain().map(([cookie]) => cookie).reverse();
          assertEquals(back, Array.from({ length: cookie - first }, (_, i) => first + i));
        }
        assertEquals([rig.driver.inFlight, rig.driver.broken], [0, undefined]);
      }
    }
  });
}

Deno.test("requests of a packed ring appear all at once, or not at all", () => {
  const rig = new Rig({ ...plain, kind: "packed", size: 5 });
  const { driver } = rig;
  assert(rig.submit(1, 2));
  assert(rig.submit(2, 3));
  assert(!rig.submit(3, 1));
  assertEquals(rig.takeAll(), []);
  driver.publish();
  assertEquals(rig.takeAll().length, 2);
});

Deno.test("a request that was not committed is not seen behind another one", () => {
  const rig = new Rig({ ...plain, kind: "packed", size: 8 });
  const { driver, data } = rig;
  for (let round = 0; round < 20; round++) {
    driver.begin(1);
    for (let i = 0; i < 8; i++) driver.readable(data, 7);
    assert(rig.submit(2));
    driver.publish();
    const heads = rig.takeAll();
    assertEquals(heads.length, 1);
    rig.device.put(heads[0]!, 0);
    rig.device.publish();
    assertEquals(rig.drain(), [[2, 0]]);
  }
});

for (const kind of ["split", "packed"] as const) {
  Deno.test(`${kind}: a request that is being built is dropped when another comes back`, () => {
    for (const segments of [0, 4]) {
      const rig = new Rig({ ...plain, kind, size: 8, segments });
      const { driver, data, device } = rig;
      for (let round = 0; round < 20; round++) {
        assert(rig.submit(1, 2));
        driver.publish();
        driver.begin(2);
        for (let i = 0; i < 3; i++) driver.writable(data, 1);
        for (const head of rig.takeAll()) device.put(head, 1);
        device.publish();
        assertEquals(rig.drain(), [[1, 1]]);
        assertThrows(() => driver.commit(), Error, "without a buffer");
      }
      const most = segments || 8;
      assert(rig.submit(3, most));
      driver.publish();
      assert(device.take(rig.chain));
      assertEquals(rig.chain.count, most);
      assert(!device.take(rig.chain));
    }
  });
}

Deno.test("with the event index, a side that is awake is not notified", () => {
  const rig = new Rig({ ...plain, kind: "packed", size: 7, eventIndex: true });
  const notified = () => {
    const before = rig.notified.length;
    assert(rig.submit(1));
    rig.driver.publish();
    return rig.notified.length > before;
  };
  for (let round = 0; round < 20; round++) {
    assert(!rig.device.arm());
    assert(!rig.driver.arm());
    assertEquals([notified(), notified(), notified()], [true, false, false]);
    const interrupts = rig.takeAll().map((head) => {
      rig.device.put(head, 0);
      return rig.device.publish();
    });
    assertEquals(interrupts, [true, false, false]);
    assertEquals(rig.drain().length, 3);
  }
});

Deno.test("without the event index, the flags decide", () => {
  const rig = new Rig({ ...plain, kind: "packed", size: 7 });
  const publish = () => {
    const before = rig.notified.length;
    assert(rig.submit(1));
    rig.driver.publish();
    return rig.notified.length > before;
  };
  assert(publish());
  rig.halves[rig.layout.device / 2 + 1] = 1;
  assert(!publish());
  rig.driver.kick();
  assertEquals(rig.notified.length, 2);
  assertEquals(rig.notified[1]! >>> 16, 2 | 1 << 15);
  rig.device.arm();
  assert(publish());
  rig.halves[rig.layout.driver / 2 + 1] = 1;
  for (const head of rig.takeAll()) rig.device.put(head, 0);
  assert(!rig.device.publish());
});

Deno.test("wanted() is what its definition says, and absurd wishes come true (D-61)", () => {
  const event = (slot: number, wrap: number, flags: number) => flags << 16 | wrap << 15 | slot;
  for (const size of [1, 2, 3, 8, 13]) {
    // Places count on over two rounds: the wrap counter is 1 in the first and 0 in the second.
    const at = (place: number) =>
      [place % size, Math.floor(place / size) % 2 === 0 ? 1 : 0] as const;
    for (let before = 0; before < 2 * size; before++) {
      for (let moved = 0; moved <= size; moved++) {
        const [next, wrap] = at(before + moved);
        for (let place = 0; place < 2 * size; place++) {
          const [slot, round] = at(place);
          const among = (place - before + 2 * size) % (2 * size) < moved;
          assertEquals(wanted(event(slot, round, 2), next, wrap, moved, size, true), among);
          assert(wanted(event(slot, round, 2), next, wrap, moved, size, false));
          assert(!wanted(event(slot, round, 1), next, wrap, moved, size, true));
          for (const flags of [0, 3]) {
            assert(wanted(event(slot, round, flags), next, wrap, moved, size, true));
          }
        }
        for (const slot of [size, 0x7fff]) {
          for (const round of [0, 1]) {
            assert(wanted(event(slot, round, 2), next, wrap, moved, size, true));
          }
        }
      }
    }
  }
});

Deno.test("layoutPacked() takes any size and keeps apart what each side writes", () => {
  const sizes = fc.integer({ min: 1, max: 32768 });
  const segments = fc.integer({ min: 0, max: 256 });
  fc.assert(fc.property(sizes, segments, fc.nat(1000), (size, segments, page) => {
    const layout = layoutPacked(page * 4096, size, segments);
    assertEquals([layout.kind, layout.size], ["packed", size]);
    assertEquals(layout.descriptors, page * 4096);
    assertEquals([layout.device % 4, layout.driver % 4096, layout.end % 4096], [0, 0, 0]);
    assert(layout.descriptors + 16 * size <= layout.device);
    assert(layout.device + 4 <= layout.driver);
    if (layout.indirect === undefined) return assertEquals(layout.segments, size);
    assert(layout.driver + 4 <= layout.indirect && layout.segments >= segments);
    assertEquals(layout.indirect % 4096, 0);
    assert(layout.indirect + 16 * layout.segments * size <= layout.end);
  }));
  for (const size of [0, 32769, 1.5, NaN]) {
    assert(wrongSize(size, "packed"));
    assertThrows(() => layoutPacked(0, size, 0), RangeError, "Cannot lay out");
  }
  assertEquals([wrongSize(3, "packed"), wrongSize(32767, "packed")], [undefined, undefined]);
});
