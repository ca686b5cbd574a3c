import { assertEquals, assertThrows } from "@std/assert";
import { Pair } from "../../core/bus/fake_test.ts";
import { block } from "./mod.ts";

const disk = { sectors: 8, blockSize: 512, readOnly: true, writeCache: false };
const lanes = (slotBytes = 512) =>
  new Map([["requests", new Pair({ slots: 2, slotBytes }).client]]);

Deno.test("a disk follows what its driver tells, and keeps what it had if that is wrong", () => {
  const { client, update } = block.open(lanes(), disk, "blk");
  assertEquals(client.capacity, 4096);
  update({ ...disk, sectors: 16 });
  assertEquals(client.capacity, 8192);
  assertThrows(() => update({ ...disk, sectors: -1 }), TypeError, "sectors");
  assertEquals(client.capacity, 8192);
  assertThrows(() => block.open(lanes(), {}, "blk"), TypeError, "property sectors");
});

Deno.test("slots for a disk that are not whole sectors are refused", () => {
  for (const slotBytes of [1, 511, 1000, 4096 + 256]) {
    assertThrows(() => block.open(lanes(slotBytes), disk, "blk"), TypeError, "requests");
  }
});
