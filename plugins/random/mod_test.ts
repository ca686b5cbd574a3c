import { assert, assertEquals } from "@std/assert";
import { type Device, type Offer, Status, type Virtqueue, Word } from "@virtio/deno/plugin";
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
  const queued: number[][] = [];
  const completed: number[][] = [];
  let building: number[] = [];
  let answers: number[][] = [];
  const queue = {
    begin: (cookie: number) => building = [cookie],
    writable: (offset: number, length: number) => void building.push(offset, length),
    commit: () => queued.length < room && queued.push(building) > 0,
    drain(collect: (cookie: number, written: number) => void) {
      for (const [cookie, written] of answers.splice(0)) collect(cookie!, written!);
    },
  };
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
    queues: { requests: queue as unknown as Virtqueue },
    lanes: { requests: lane },
    buffers: {},
  };
  const driver = random.start(device as unknown as Device<string, string, string>);
  return { driver, queued, completed, answer: (...list: number[][]) => answers = list };
}

Deno.test("each slot goes to the device as one buffer, no longer than it is", () => {
  const { driver, queued } = bench([1, 4096, 4097, 2 ** 32 - 1]);
  driver.rung();
  assertEquals(queued, [[0, 4096, 1], [1, 8192, 4096], [2, 12288, 4096], [3, 16384, 4096]]);
});

Deno.test("filled slots come back with what the device wrote", () => {
  const { driver, completed, answer } = bench([16, 16]);
  driver.rung();
  answer([1, 16], [0, 3]);
  driver.rung();
  assertEquals(completed, [[1, Status.ok, 16], [0, Status.ok, 3]]);
});

Deno.test("what finds no room is tried again", () => {
  const { driver, queued } = bench([1, 1, 1], 2);
  driver.rung();
  assertEquals(queued.length, 2);
  queued.length = 0;
  driver.rung();
  assertEquals(queued.map(([slot]) => slot), [2]);
});
