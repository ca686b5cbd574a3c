import { assertEquals, assertThrows } from "@std/assert";
import type { Buffer, RegisterWindow } from "@virtio/deno/plugin";
import { Doorbells } from "./doorbells.ts";

function buffer(): Buffer {
  return { offset: 0, bytes: new Uint8Array(new SharedArrayBuffer(4096)) };
}

function rig(stride: number) {
  const writes: [number, number][] = [];
  const window = {
    size: 4096,
    write32: (offset: number, value: number) => void writes.push([offset, value]),
  } as Partial<RegisterWindow> as RegisterWindow;
  const [shadow, events] = [buffer(), buffer()];
  const doorbells = new Doorbells(window, stride, shadow, events);
  return {
    doorbells,
    writes,
    shadow: new Uint32Array(shadow.bytes.buffer),
    events: new Uint32Array(events.bytes.buffer),
  };
}

Deno.test("Doorbells are as far apart as CAP.DSTRD says #nvme:stride", () => {
  for (const [stride, offset, queues] of [[0, 12, 512], [3, 96, 64], [8, 3072, 2]] as const) {
    const { doorbells, writes } = rig(stride);
    assertEquals(doorbells.queues, queues);
    doorbells.ring(3, 7, 6);
    assertEquals(writes, [[offset, 7]]);
  }
  assertThrows(() => rig(9), Error, "too far apart");
});

Deno.test("Doorbells write a register only where the controller wants to be told #nvme:shadow", () => {
  const { doorbells, writes, shadow, events } = rig(0);
  doorbells.ring(2, 1, 0);
  assertEquals([writes, shadow[2]], [[[8, 1]], 1]);
  doorbells.useShadow();
  // It has seen all up to 1: it sleeps.
  events[2] = 1;
  doorbells.ring(2, 2, 1);
  assertEquals(writes.length, 2);
  // It has not seen that yet, and looks again before it sleeps.
  doorbells.ring(2, 5, 2);
  assertEquals([writes.length, shadow[2]], [2, 5]);
  // It asks to be told when there is more than 7.
  events[2] = 7;
  doorbells.ring(2, 7, 5);
  assertEquals(writes.length, 2);
  doorbells.ring(2, 9, 7);
  assertEquals(writes.at(-1), [8, 9]);
  // An index that wrapped.
  events[2] = 255;
  doorbells.ring(2, 0, 255);
  assertEquals(writes.at(-1), [8, 0]);
  // Those of the admin queues are always written.
  doorbells.ring(0, 1, 0);
  doorbells.ring(0, 2, 1);
  assertEquals(writes.slice(-2), [[0, 1], [0, 2]]);
});
