import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ByteQueue } from "./byte_queue.ts";

Deno.test("ByteQueue gives back what was put in, in order, and never holds more than its limit", () => {
  const step = fc.oneof(
    fc.record({ push: fc.nat(9000) }),
    fc.record({ shift: fc.nat(9000) }),
    fc.constant({ clear: true as const }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const queue = new ByteQueue(10_000);
    let model: number[] = [];
    let next = 0;
    for (const step of steps) {
      if ("push" in step) {
        const bytes = Uint8Array.from({ length: step.push }, () => next++);
        const fits = model.length + bytes.length <= 10_000;
        assertEquals(queue.push(bytes), fits);
        if (fits) model.push(...bytes);
      } else if ("shift" in step) {
        const wanted = model.splice(0, step.shift);
        assert(queue.shift(step.shift).join() === wanted.join());
      } else {
        queue.clear();
        model = [];
      }
      assertEquals(queue.length, model.length);
    }
  }));
});
