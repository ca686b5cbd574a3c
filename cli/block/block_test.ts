import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { memoryDisk } from "../fake_test.ts";
import { DiskEnd } from "./ends.ts";
import { Latencies } from "./latencies.ts";
import { formatSize, parseSize } from "./size.ts";

Deno.test("a part of a disk is read and written from any byte to any byte, in blocks of any size #cli:bytes", async () => {
  const capacity = 4 * 4096;
  const run = fc.record({
    blockSize: fc.constantFrom(512, 2048, 4096),
    offset: fc.nat(capacity),
    // Many at once, next to each other: most share a block with the next.
    pieces: fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(run, async ({ blockSize, offset, pieces }) => {
      const disk = memoryDisk(capacity, blockSize);
      const { read } = disk;
      // So that what is read is old when it is written back, if nothing keeps the order.
      disk.read = async (...request) => {
        const bytes = await read.apply(disk, request);
        await new Promise((resolve) => setTimeout(resolve, 0));
        return bytes;
      };
      disk.bytes.fill(9);
      const wanted = disk.bytes.slice();
      const end = new DiskEnd(disk, offset);
      const writes: Promise<void>[] = [];
      let at = 0;
      for (const [i, wish] of pieces.entries()) {
        const bytes = new Uint8Array(Math.min(wish, end.length - at)).fill(i + 10);
        writes.push(end.write(at, bytes));
        wanted.set(bytes, offset + at);
        at += bytes.length;
      }
      await Promise.all(writes);
      assertEquals(disk.bytes, wanted);
      const found = new Uint8Array(at + 100);
      const length = await end.read(0, found);
      assertEquals(length, Math.min(at + 100, end.length));
      assertEquals(found.subarray(0, length), wanted.subarray(offset, offset + length));
    }),
    { numRuns: 50 },
  );
});

Deno.test("parseSize reads bytes as people write them, and formatSize writes them so", () => {
  for (
    const [text, bytes] of [["0", 0], ["512", 512], ["4K", 4096], ["1m", 1 << 20], [
      "2GiB",
      2 ** 31,
    ], [
      "1T",
      2 ** 40,
    ]] as const
  ) {
    assertEquals(parseSize("offset", text), bytes);
  }
  for (const wrong of ["", "-1", "1.5K", "K", "1 K", "0x10", "9999999999T"]) {
    assertThrows(() => parseSize("offset", wrong), Error, "for --offset: wanted bytes");
  }
  assertEquals([0, 1023, 1536, 64 << 20].map(formatSize), [
    "0 bytes",
    "1023 bytes",
    "1.5 KiB",
    "64 MiB",
  ]);
});

Deno.test("Latencies finds percentiles to a percent", () => {
  const times = fc.array(fc.integer({ min: 0, max: 1e10 }), { minLength: 1, maxLength: 300 });
  fc.assert(fc.property(times, fc.integer({ min: 1, max: 100 }), (times, percent) => {
    const latencies = new Latencies();
    for (const time of times) latencies.add(time);
    const sorted = times.toSorted((a, b) => a - b);
    const wanted = sorted[Math.ceil(times.length * percent / 100) - 1]!;
    const found = latencies.percentile(percent);
    assert(found >= wanted && found <= wanted * 1.02 + 1, `${found}, not ${wanted}`);
  }));
  assertEquals(JSON.parse(JSON.stringify(new Latencies())).N, 0);
});
