import { assertEquals } from "@std/assert";
import { Restarts } from "./restarts.ts";

Deno.test("there are so many restarts, each after a longer pause than the one before", () => {
  const restarts = new Restarts(4);
  assertEquals([1, 2, 3, 4, 5].map(() => restarts.take()), [0, 100, 200, 400, undefined]);
  assertEquals(restarts.count, 4);
});

Deno.test("restarts are forgotten after a minute", () => {
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    const restarts = new Restarts(2);
    restarts.take();
    time = 30_000;
    restarts.take();
    assertEquals(restarts.take(), undefined);
    time = 60_001;
    assertEquals([restarts.count, restarts.take()], [1, 100]);
  } finally {
    performance.now = now;
  }
});

Deno.test("a pause is never longer than 30 s, however many restarts there may be #core:P-33", () => {
  const restarts = new Restarts(2000);
  const pauses = Array.from({ length: 2000 }, () => restarts.take()!);
  assertEquals(pauses.slice(8, 12), [12_800, 25_600, 30_000, 30_000]);
  assertEquals(Math.max(...pauses), 30_000);
});

Deno.test("where there are none, none is taken", () => {
  assertEquals(new Restarts(0).take(), undefined);
});
