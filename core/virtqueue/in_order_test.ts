import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { anySizes, Model, powersOfTwo, queues, steps } from "./model_test.ts";
import { Rig } from "./rig_test.ts";

const plain = { segments: 0, eventIndex: false, inOrder: true, runPages: 1000 } as const;

for (const kind of ["split", "packed"] as const) {
  const sizes = kind === "split" ? powersOfTwo : anySizes;

  Deno.test(`driver and device of a ${kind} virtqueue keep the order`, () => {
    fc.assert(
      fc.property(
        queues(kind, sizes, true),
        fc.array(steps, { maxLength: 3 }),
        (options, lives) => {
          const model = new Model(new Rig(options));
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
      const rig = new Rig({ ...plain, kind, size: 8, segments });
      for (let round = 0; round < 50; round++) {
        for (let i = 0; i < 3; i++) assert(rig.submit(i, 1 + i % 2));
        rig.driver.publish();
        if (kind === "split") {
          const ring = rig.layout.device / 4 + 1;
          rig.words.fill(0xffffffff, ring, ring + 16);
        }
        const before = usedEntries(rig);
        for (const [i, head] of rig.takeAll().entries()) rig.device.put(head, 16 * (1 + i % 2));
        rig.device.publish();
        assertEquals(changes(before, usedEntries(rig)), 1);
        assertEquals(rig.drain(), [[0, 16], [1, 32], [2, 16]]);
      }
    });
  }

  Deno.test(`${kind}: a request that is not filled completely ends its batch`, () => {
    const rig = new Rig({ ...plain, kind, size: 8 });
    for (let i = 0; i < 4; i++) rig.submit(i);
    rig.driver.publish();
    const heads = rig.takeAll();
    for (const [i, written] of [16, 5, 16, 0].entries()) rig.device.put(heads[i]!, written);
    rig.device.publish();
    assertEquals(rig.drain(), [[0, 16], [1, 5], [2, 16], [3, 0]]);
  });

  Deno.test(`${kind}: what is finished early waits for its turn`, () => {
    const rig = new Rig({ ...plain, kind, size: 8 });
    for (let i = 0; i < 3; i++) rig.submit(i);
    rig.driver.publish();
    const [first, second, third] = rig.takeAll();
    rig.device.put(third!, 3);
    rig.device.put(second!, 2);
    assert(!rig.device.publish());
    assertEquals(rig.drain(), []);
    rig.device.put(first!, 1);
    assert(rig.device.publish());
    assertEquals(rig.drain(), [[0, 1], [1, 2], [2, 3]]);
  });

  Deno.test(`${kind}: the same request twice breaks the queue (D-42)`, () => {
    const rig = new Rig({ ...plain, kind, size: 8 });
    for (let i = 0; i < 3; i++) rig.submit(i);
    rig.driver.publish();
    const [first] = rig.takeAll();
    rig.device.put(first!, 1);
    rig.device.publish();
    assertEquals(rig.drain(), [[0, 1]]);
    // No longer known to the device, so this goes into the ring as it is.
    rig.device.put(first!, 1);
    rig.device.publish();
    assertEquals(rig.drain(), []);
    assertEquals(rig.driver.broken?.rule, "D-42");
  });
}

Deno.test("a split device that does not keep the order breaks the queue (D-56)", () => {
  const rig = new Rig({ ...plain, kind: "split", size: 8 });
  for (let i = 0; i < 3; i++) rig.submit(i);
  rig.driver.publish();
  const { device } = rig.layout;
  rig.words[device / 4 + 1] = 2;
  rig.words[device / 4 + 2] = 1;
  rig.halves[device / 2 + 1] = 1;
  assertEquals(rig.drain(), []);
  assertEquals(rig.driver.broken?.rule, "D-56");
});

Deno.test("a split driver takes its descriptors in the order of the table (2.7.5)", () => {
  const rig = new Rig({ ...plain, kind: "split", size: 8 });
  let expected = 0;
  for (let round = 0; round < 100; round++) {
    const buffers = 1 + round % 3;
    assert(rig.submit(round, buffers));
    assert(rig.submit(round));
    rig.driver.publish();
    const heads = rig.takeAll();
    assertEquals(heads, [expected, (expected + buffers) % 8]);
    expected = (expected + buffers + 1) % 8;
    for (const head of heads) rig.device.put(head, 0);
    rig.device.publish();
    rig.drain();
  }
});

/** What the device can write used entries to; what it leaves out stays as it is. */
function usedEntries({ layout: { kind, descriptors, device, size }, words }: Rig): Uint32Array {
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
