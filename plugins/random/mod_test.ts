import { assert, assertEquals } from "@std/assert";
import { type Device, type Offer, Status, Word } from "@virtio/deno/plugin";
import { FakeQueue } from "../../tests/support/fake_queue.ts";
import random from "./mod.ts";

Deno.test("the plan needs nothing of the device but a queue", () => {
  const offer = { features: 0n, queues: [64] } as unknown as Offer;
  const plan = random.plan(offer);
  assert(!("decline" in plan));
  assertEquals(plan.features, undefined);
  assertEquals(plan.queues, { requests: { index: 0, size: 8 } });
  assertEquals(plan.lanes, { requests: { slots: 8, slotBytes: 4096 } });
});

/** A driver with slots that want so many bytes each, before a queue with room for `room` requests. */
function bench(wanted: readonly number[], room = Infinity) {
  const pending = [...wanted.keys()];
  const completed: number[][] = [];
  const queue = new FakeQueue();
  queue.room = room;
  const lane = {
    offset: (slot: number) => 4096 * (slot + 1),
    word: (slot: number, word: number) => word === Word.length ? wanted[slot]! : 0,
    take(start: (slot: number) => boolean) {
      while (pending.length > 0 && start(pending[0]!)) pending.shift();
    },
    complete: (...end: number[]) => void completed.push(end),
  };
  const device = {
    features: 0n,
    queues: { requests: queue },
    lanes: { requests: lane },
    buffers: {},
  };
  const driver = random.start(device as unknown as Device<string, string, string>);
  return { driver, queue, completed };
}

Deno.test("each slot goes to the device as one buffer, no longer than it is", () => {
  const { driver, queue } = bench([1, 4096, 4097, 2 ** 32 - 1]);
  driver.rung();
  assertEquals(
    queue.requests.map(({ cookie, writable }) => [cookie, ...writable]),
    [[0, [4096, 1]], [1, [8192, 4096]], [2, [12288, 4096]], [3, [16384, 4096]]],
  );
});

Deno.test("filled slots come back with what the device wrote", () => {
  const { driver, completed, queue } = bench([16, 16]);
  driver.rung();
  queue.use(16, 1);
  queue.use(3, 0);
  driver.rung();
  assertEquals(completed, [[1, Status.ok, 16], [0, Status.ok, 3]]);
});

Deno.test("what finds no room is tried again", () => {
  const { driver, queue } = bench([1, 1, 1], 2);
  driver.rung();
  assertEquals(queue.requests.map(({ cookie }) => cookie), [0, 1]);
  for (let i = 0; i < 2; i++) queue.use();
  driver.rung();
  assertEquals(queue.requests.map(({ cookie }) => cookie), [2]);
});
