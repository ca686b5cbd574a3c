import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Latencies } from "./latencies.ts";
import { Sha256 } from "./sha256.ts";
import { formatSize, parseSize } from "./size.ts";

Deno.test("Sha256 is that of the web, in whatever pieces the bytes come", async () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 });
  await fc.assert(fc.asyncProperty(pieces, async (pieces) => {
    const sum = new Sha256();
    for (const piece of pieces) sum.update(piece);
    const all = new Uint8Array(pieces.flatMap((piece) => [...piece]));
    const wanted = new Uint8Array(await crypto.subtle.digest("SHA-256", all)).toHex();
    assertEquals(sum.digest(), wanted);
  }));
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
