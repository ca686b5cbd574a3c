import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { anySizes, Model, powersOfTwo, queues, Sides, steps } from "./two_sides_test.ts";

const plain = { segments: 0, eventIndex: false, inOrder: true, runPages: 1000 } as const;

for (const kind of ["split", "packed"] as const) {
  const sizes = kind === "split" ? powersOfTwo : anySizes;

  Deno.test(`driver and device of a ${kind} virtqueue keep the order`, () => {
    fc.assert(
      fc.property(
        queues(kind, sizes, true),
        fc.array(steps, { maxLength: 3 }),
        (options, lives) => {
          const model = new Model(new Sides(options));
          for (const [life, steps] of lives.entries()) {
            if (life > 0) model.restart();
            for (const step of steps) model.run(step);
          }
          model.finish();
        },
      ),
      { numRuns: 400 },
    );
  });

  for (const segments of [0, 4]) {
    Deno.test(`${kind}, segments ${segments}: one used entry stands for a batch`, () => {
      const sides = new Sides({ ...plain, kind, size: 8, segments });
      for (let round = 0; round < 50; round++) {
        for (let i = 0; i < 3; i++) assert(sides.submit(i, 1 + i % 2));
        sides.driver.publish();
        if (kind === "split") {
          const ring = sides.layout.device / 4 + 1;
          sides.words.fill(0xffffffff, ring, ring + 16);
        }
        const before = usedEntries(sides);
        for (const [i, head] of sides.takeAll().entries()) sides.device.put(head, 16 * (1 + i % 2));
        sides.device.publish();
        assertEquals(changes(before, usedEntries(sides)), 1);
        assertEquals(sides.drain(), [[0, 16], [1, 32], [2, 16]]);
      }
    });
  }

  Deno.test(`${kind}: a request that is not filled completely ends its batch`, () => {
    const sides = new Sides({ ...plain, kind, size: 8 });
    for (let i = 0; i < 4; i++) sides.submit(i);
    sides.driver.publish();
    const heads = sides.takeAll();
    for (const [i, written] of [16, 5, 16, 0].entries()) sides.device.put(heads[i]!, written);
    sides.device.publish();
    assertEquals(sides.drain(), [[0, 16], [1, 5], [2, 16], [3, 0]]);
  });

  Deno.test(`${kind}: what is finished early waits for its turn`, () => {
    const sides = new Sides({ ...plain, kind, size: 8 });
    for (let i = 0; i < 3; i++) sides.submit(i);
    sides.driver.publish();
    const [first, second, third] = sides.takeAll();
    sides.device.put(third!, 3);
    sides.device.put(second!, 2);
    assert(!sides.device.publish());
    assertEquals(sides.drain(), []);
    sides.device.put(first!, 1);
    assert(sides.device.publish());
    assertEquals(sides.drain(), [[0, 1], [1, 2], [2, 3]]);
  });

  Deno.test(`${kind}: the same request twice breaks the queue (D-42)`, () => {
    const sides = new Sides({ ...plain, kind, size: 8 });
    for (let i = 0; i < 3; i++) sides.submit(i);
    sides.driver.publish();
    const [first] = sides.takeAll();
    sides.device.put(first!, 1);
    sides.device.publish();
    assertEquals(sides.drain(), [[0, 1]]);
    // No longer known to the device, so this goes into the ring as it is.
    sides.device.put(first!, 1);
    sides.device.publish();
    assertEquals(sides.drain(), []);
    assertEquals(sides.driver.broken?.rule, "D-42");
  });
}

Deno.test("a split device that does not keep the order breaks the queue (D-56)", () => {
  const sides = new Sides({ ...plain, kind: "split", size: 8 });
  for (let i = 0; i < 3; i++) sides.submit(i);
  sides.driver.publish();
  const { device } = sides.layout;
  sides.words[device / 4 + 1] = 2;
  sides.words[device / 4 + 2] = 1;
  sides.halves[device / 2 + 1] = 1;
  assertEquals(sides.drain(), []);
  assertEquals(sides.driver.broken?.rule, "D-56");
});

Deno.test("a split driver takes its descriptors in the order of the table (2.7.5)", () => {
  const sides = new Sides({ ...plain, kind: "split", size: 8 });
  let expected = 0;
  for (let round = 0; round < 100; round++) {
    const buffers = 1 + round % 3;
    assert(sides.submit(round, buffers));
    assert(sides.submit(round));
    sides.driver.publish();
    const heads = sides.takeAll();
    assertEquals(heads, [expected, (expected + buffers) % 8]);
    expected = (expected + buffers + 1) % 8;
    for (const head of heads) sides.device.put(head, 0);
    sides.device.publish();
    sides.drain();
  }
});

/** What the device can write used entries to; what it leaves out stays as it is. */
function usedEntries({ layout: { kind, descriptors, device, size }, words }: Sides): Uint32Array {
  if (kind === "packed") return words.slice(descriptors / 4, device / 4);
  return words.slice(device / 4 + 1, device / 4 + 1 + 2 * size);
}

/** How many of eight entries differ. */
function changes(before: Uint32Array, after: Uint32Array): number {
  const differ = new Set<number>();
  for (const [i, word] of after.entries()) {
    if (word !== before[i]) differ.add(Math.floor(i * 8 / after.length));
  }
  return differ.size;
}
