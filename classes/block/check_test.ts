import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { memoryDisk } from "../../cli/fake_test.ts";
import { openKernel } from "../../mod.ts";
import "../../tests/support/libc.ts";
import { checkBlock, cut, readBehind } from "./check.ts";

/** The names of the findings that failed. */
async function failures(disk: Parameters<typeof checkBlock>[0], write = true): Promise<string[]> {
  const { findings } = await checkBlock(disk, { write });
  return findings.filter(({ passed }) => !passed).map(({ name }) => name);
}

Deno.test("checkBlock passes good disks of many shapes", async () => {
  for (
    const [capacity, blockSize] of [[512, 512], [1536, 512], [8 << 20, 512], [12288, 4096], [
      12800,
      4096,
    ]] as const
  ) {
    const disk = memoryDisk(capacity, blockSize);
    assertEquals(await failures(disk), []);
    assert(disk.writes > 0 && disk.flushes === 1);
  }
});

Deno.test("checkBlock does not write unless it may, nor to a read-only disk", async () => {
  const disk = memoryDisk();
  assertEquals(await failures(disk, false), []);
  assertEquals([disk.writes, disk.flushes], [0, 0]);
  const readOnly = Object.assign(memoryDisk(), { readOnly: true });
  const { figures } = await checkBlock(readOnly, { write: true });
  assertEquals([readOnly.writes, figures.written, figures.sha256], [0, false, undefined]);
});

Deno.test("checkBlock finds a disk that loses a write", async () => {
  const disk = memoryDisk();
  const write = disk.write;
  let count = 0;
  disk.write = (...request) => ++count === 7 ? Promise.resolve() : write.apply(disk, request);
  assertEquals(await failures(disk), ["read back in pieces", "read back in one request"]);
});

Deno.test("checkBlock finds a disk that lets one read behind its end", async () => {
  const disk = memoryDisk();
  const read = disk.read;
  disk.read = (offset, length) =>
    offset < disk.capacity
      ? read.call(disk, offset, length)
      : Promise.resolve(new Uint8Array(length));
  assertEquals(await failures(disk), ["behind the end, asked of the client"]);
});

Deno.test("checkBlock says what came of a block behind the end #cli:check_end", async () => {
  for (const passed of [true, false]) {
    const behind = () => Promise.resolve({ passed, detail: "said" });
    const { findings } = await checkBlock(memoryDisk(), { write: false }, behind);
    assertEquals(findings.filter(({ name }) => name === "behind the end"), [
      { name: "behind the end", passed, detail: "said" },
    ]);
  }
});

Deno.test("readBehind passes the client by, and tells which side refuses #cli:check_end", async () => {
  await using kernel = await openKernel({ machine: "simulated", isolation: "inline" });
  const { client } = await kernel.attachFirst("block");
  assertEquals(await readBehind(client), {
    passed: true,
    detail: "refused by the driver; the device is not asked",
  });
  const { slots } = client;
  const short = { slots, capacity: client.capacity - 512, blockSize: 512 };
  assertEquals((await readBehind(short)).passed, false);
});

Deno.test("checkBlock finds nothing to check on a disk with nothing on it #cli:check_nothing #blk:empty", async () => {
  const disk = memoryDisk(0);
  const { findings, nothing, summary, figures } = await checkBlock(disk, { write: true });
  assertEquals([findings, nothing], [[], true]);
  assertEquals([summary, figures.written], ["nothing is on it: 0 bytes", false]);
  assertEquals([disk.writes, disk.flushes], [0, 0]);
});

Deno.test("checkBlock finds a capacity that makes no sense, and does nothing then", async () => {
  for (const [capacity, blockSize] of [[1000, 512], [512, 4096], [4096, 100], [4096, 0]] as const) {
    const disk = memoryDisk(capacity, blockSize);
    assertEquals(await failures(disk), ["capacity"]);
    assertEquals(disk.writes, 0);
  }
});

Deno.test("cut covers a region once, in whole blocks, with one large request", () => {
  const region = fc.record({
    first: fc.nat(1000),
    blocks: fc.integer({ min: 1, max: 4096 }),
    blockSize: fc.constantFrom(512, 4096, 65536),
  });
  fc.assert(fc.property(region, ({ first, blocks, blockSize }) => {
    const [offset, length] = [first * blockSize, blocks * blockSize];
    let at = offset;
    for (const piece of cut({ offset, length, blockSize })) {
      assertEquals(piece.offset, at);
      assert(piece.length > 0 && piece.length % blockSize === 0);
      at += piece.length;
    }
    assertEquals(at, offset + length);
  }));
  const sizes = cut({ offset: 0, length: 2 << 20, blockSize: 512 }).map((piece) => piece.length);
  assertEquals(sizes[0], 1 << 20);
  for (const size of [65536, 4096, 512]) assert(sizes.includes(size));
});
