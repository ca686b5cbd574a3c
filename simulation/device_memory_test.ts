import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DriverFault } from "../core/virtqueue/device_queue.ts";
import { DeviceMemory } from "./device_memory.ts";

const PAGE = 4096;
const MEMORY = new SharedArrayBuffer(16 * PAGE);

function place(memory: DeviceMemory, address: number, length = 1): number | undefined {
  try {
    return memory.find(address, length).offset;
  } catch (error) {
    assert(error instanceof DriverFault);
    return undefined;
  }
}

Deno.test("DeviceMemory: what is mapped in parts is found in one piece", () => {
  const memory = new DeviceMemory();
  const map = (page: number) =>
    memory.map(
      { address: page * PAGE, length: PAGE },
      { memory: MEMORY, offset: page * PAGE },
      true,
    );
  map(1);
  map(3);
  map(2);
  assertEquals(memory.count, 1);
  assertEquals(place(memory, PAGE, 3 * PAGE), PAGE);
  assertEquals(place(memory, PAGE - 1, 2), undefined);
});

Deno.test("DeviceMemory: parts that lie apart are views of their own, and no piece", () => {
  const memory = new DeviceMemory();
  memory.map({ address: 0, length: PAGE }, { memory: MEMORY, offset: 5 * PAGE }, true);
  memory.map({ address: PAGE, length: PAGE }, { memory: MEMORY, offset: PAGE }, true);
  assertThrows(() => memory.find(PAGE - 8, 16), DriverFault, "cannot reach 16 bytes");
  const pieces: Uint8Array<SharedArrayBuffer>[] = [];
  memory.pieces(PAGE - 8, 16, true, pieces);
  assertEquals(pieces.map(({ byteOffset, length }) => [byteOffset, length]), [
    [6 * PAGE - 8, 8],
    [PAGE, 8],
  ]);
  assertThrows(() => memory.pieces(2 * PAGE - 8, 16, false, []), DriverFault, "cannot reach");
});

Deno.test("DeviceMemory: nothing is written where only reading is allowed", () => {
  const memory = new DeviceMemory();
  memory.map({ address: 0, length: PAGE }, { memory: MEMORY, offset: 0 }, false);
  memory.pieces(0, 8, false, []);
  assertThrows(() => memory.pieces(0, 8, true, []), DriverFault, "may not write");
  assertThrows(() => memory.find(0, 8, true), DriverFault, "may not write");
});

Deno.test("DeviceMemory: what overlaps is refused and changes nothing", () => {
  const memory = new DeviceMemory();
  memory.map({ address: 2 * PAGE, length: 2 * PAGE }, { memory: MEMORY, offset: 0 }, true);
  for (const [address, length] of [[1, 2], [2, 1], [3, 4], [1, 9]] as const) {
    assertThrows(
      () =>
        memory.map(
          { address: address * PAGE, length: length * PAGE },
          { memory: MEMORY, offset: 0 },
          true,
        ),
      RangeError,
      "some are mapped already",
    );
  }
  assertEquals(memory.count, 1);
  assertEquals(place(memory, 2 * PAGE, 2 * PAGE), 0);
});

Deno.test("DeviceMemory: any maps and unmaps leave what a table of pages says", () => {
  const page = fc.integer({ min: 0, max: 15 });
  const step = fc.record({
    unmap: fc.boolean(),
    from: page,
    pages: fc.integer({ min: 1, max: 16 }),
    to: page,
    writable: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const memory = new DeviceMemory();
    const table = new Map<number, readonly [to: number, writable: boolean]>();
    for (const { unmap, from, pages, to, writable } of steps) {
      const all = Array.from({ length: pages }, (_, i) => from + i);
      if (unmap) {
        const before = memory.version;
        memory.unmap(from * PAGE, pages * PAGE);
        const some = all.some((each) => table.delete(each));
        assertEquals(memory.version !== before, some);
        all.forEach((each) => table.delete(each));
        continue;
      }
      const free = all.every((each) => !table.has(each));
      const map = () =>
        memory.map(
          { address: from * PAGE, length: pages * PAGE },
          { memory: MEMORY, offset: to * PAGE },
          writable,
        );
      if (!free) assertThrows(map, RangeError);
      else {
        map();
        all.forEach((each, i) => table.set(each, [to + i, writable]));
      }
    }
    for (let page = 0; page < 32; page++) {
      const entry = table.get(page);
      assertEquals(place(memory, page * PAGE, PAGE), entry && entry[0] * PAGE);
      if (entry && !entry[1]) assertThrows(() => memory.find(page * PAGE, 1, true), DriverFault);
    }
  }));
});
