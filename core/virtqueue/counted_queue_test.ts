import { assertEquals } from "@std/assert";
import { CountedQueue } from "./counted_queue.ts";
import type { DriverQueue } from "./virtqueue.ts";

Deno.test("CountedQueue: counts bytes of requests that were committed, and of those that came back #core:counted", () => {
  const calls: string[] = [];
  let room = true;
  const inner = {
    size: 4,
    begin: (cookie: number) => calls.push(`begin ${cookie}`),
    readable: (offset: number, length: number) => calls.push(`readable ${offset} ${length}`),
    writable: (offset: number, length: number) => calls.push(`writable ${offset} ${length}`),
    commit: () => room,
    publish: () => calls.push("publish"),
    drain(collect: (cookie: number, written: number) => void) {
      collect(7, 100);
      collect(8, 5);
      return 2;
    },
  } as unknown as DriverQueue;
  const queue = new CountedQueue(inner);
  queue.begin(7);
  queue.readable(0, 16);
  queue.readable(64, 10);
  queue.writable(128, 200);
  assertEquals(queue.commit(), true);
  room = false;
  queue.begin(8);
  queue.readable(0, 1000);
  assertEquals(queue.commit(), false);
  queue.publish();
  const came: number[][] = [];
  assertEquals(queue.drain((...end) => came.push(end)), 2);
  assertEquals(came, [[7, 100], [8, 5]]);
  assertEquals([queue.read, queue.written], [26, 105]);
  assertEquals(calls, [
    "begin 7",
    "readable 0 16",
    "readable 64 10",
    "writable 128 200",
    "begin 8",
    "readable 0 1000",
    "publish",
  ]);
});
