import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { BlockClient } from "./block_client.ts";
import { makeClient } from "./clients.ts";
import { EntropyClient } from "./entropy_client.ts";
import { Pair } from "./fake_test.ts";

const disk = { sectors: 8, blockSize: 512, readOnly: true, writeCache: false };

function lanes(slotBytes = 512, name = "requests") {
  return new Map([[name, new Pair({ slots: 2, slotBytes }).client]]);
}

Deno.test("makeClient() makes the client of each class", () => {
  const entropy = makeClient("entropy", lanes(), {});
  assertInstanceOf(entropy.client, EntropyClient);
  entropy.update({ anything: 1 });

  const block = makeClient("block", lanes(), disk);
  assert(block.client instanceof BlockClient);
  assertEquals(block.client.capacity, 4096);
  block.update({ ...disk, sectors: 16 });
  assertEquals(block.client.capacity, 8192);
  assertThrows(() => block.update({ ...disk, sectors: -1 }), TypeError, "sectors");
  assertEquals(block.client.capacity, 8192);
});

Deno.test("makeClient() needs the lane of the class", () => {
  for (const name of ["entropy", "block"] as const) {
    assertThrows(() => makeClient(name, lanes(512, "other"), disk), TypeError, "named requests");
  }
});

Deno.test("makeClient() refuses properties that are not those of the class", () => {
  assertThrows(() => makeClient("block", lanes(), {}), TypeError, "property sectors");
});

Deno.test("makeClient() refuses slots for a disk that are not whole sectors", () => {
  for (const slotBytes of [1, 511, 1000, 4096 + 256]) {
    assertThrows(() => makeClient("block", lanes(slotBytes), disk), TypeError, "requests");
  }
});
