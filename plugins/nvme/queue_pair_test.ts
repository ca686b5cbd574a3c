import { assertEquals, assertThrows } from "@std/assert";
import type { RegisterWindow } from "@virtio/deno/plugin";
import { Doorbells } from "./doorbells.ts";
import { QueuePair } from "./queue_pair.ts";
import * as wire from "./wire.ts";

const ENTRIES = 4;

/** A queue pair, and the test as its controller. */
function rig() {
  const memory = new SharedArrayBuffer(16384);
  const at = (offset: number, length: number) => ({
    offset,
    bytes: new Uint8Array(memory, offset, length),
  });
  const writes: [number, number][] = [];
  const window = {
    size: 4096,
    write32: (offset: number, value: number) => void writes.push([offset, value]),
  } as Partial<RegisterWindow> as RegisterWindow;
  const queue = new QueuePair({
    id: 1,
    entries: ENTRIES,
    identifiers: 8,
    submission: at(0, ENTRIES * wire.SQE_BYTES),
    completion: at(4096, ENTRIES * wire.CQE_BYTES),
    doorbells: new Doorbells(window, 0, at(8192, 4096), at(12288, 4096)),
  });
  const cq = new Int32Array(memory, 4096, ENTRIES * wire.CQE_DWORDS);
  let index = 0;
  let phase = wire.DW3_PHASE;
  return {
    queue,
    writes,
    complete(cid: number, sqhd: number, status = 0, sqid = 1) {
      cq.set([status + 100, 0, sqid << 16 | sqhd], index * wire.CQE_DWORDS);
      cq[index * wire.CQE_DWORDS + wire.DW3] = cid | phase | status << wire.DW3_STATUS_SHIFT;
      if (++index === ENTRIES) [index, phase] = [0, phase ^ wire.DW3_PHASE];
    },
    drained() {
      const ended: [number, number, number][] = [];
      queue.drain((...each) => ended.push(each));
      return ended;
    },
  };
}

Deno.test("QueuePair: commands go in, and each comes back once, around the ring again and again", () => {
  const { queue, writes, complete, drained } = rig();
  let tail = 0;
  for (let round = 0; round < 10; round++) {
    for (const cid of [5, 2]) {
      const at = queue.begin(cid, wire.READ, 9);
      assertEquals([...queue.sq.subarray(at, at + 3)], [cid << 16 | wire.READ, 9, 0]);
      queue.sq[at + wire.CDW12] = 0xffff;
    }
    queue.publish();
    tail = (tail + 2) % ENTRIES;
    assertEquals(writes.at(-1), [8, tail]);
    assertEquals([queue.inFlight, queue.has(5), queue.has(4)], [2, true, false]);
    // Out of order.
    complete(2, tail, 0x281);
    complete(5, tail);
    assertEquals(drained(), [[2, 0x281, 0x281 + 100], [5, 0, 100]]);
    assertEquals(writes.at(-1), [12, tail]);
    assertEquals([queue.inFlight, drained()], [0, []]);
  }
});

Deno.test("QueuePair has room for one command less than entries, whatever was fetched", () => {
  const { queue, complete, drained } = rig();
  for (let cid = 0; cid < ENTRIES - 1; cid++) {
    assertEquals(queue.room, true);
    queue.begin(cid, wire.FLUSH, 1);
  }
  assertEquals(queue.room, false);
  queue.publish();
  complete(1, 3);
  drained();
  assertEquals(queue.room, true);
});

Deno.test("QueuePair: a command that the controller was not shown yet cannot end #nvme:lies", () => {
  const { queue, complete } = rig();
  queue.begin(2, wire.READ, 1);
  queue.publish();
  complete(2, 1);
  complete(2, 1);
  const again = () => queue.drain((cid) => void queue.begin(cid, wire.READ, 1));
  assertThrows(again, Error, "On queue 1 the controller ended command 2, which is not in flight");
});

const LIES: readonly [string, [cid: number, sqhd: number, status?: number, sqid?: number]][] = [
  ["ended command 3, which is not in flight", [3, 1]],
  ["ended command 65535, which is not in flight", [0xffff, 1]],
  ["ended a command of submission queue 0", [2, 1, 0, 0]],
  ["is at entry 4 of the submission queue", [2, 4]],
  ["is at entry 3 of the submission queue", [2, 3]],
];

for (const [says, lie] of LIES) {
  Deno.test(`QueuePair: the controller ${says} #nvme:lies`, () => {
    const { queue, complete, drained } = rig();
    queue.begin(2, wire.READ, 1);
    queue.publish();
    complete(...lie);
    assertThrows(drained, Error, `On queue 1 the controller ${says}`);
  });
}
