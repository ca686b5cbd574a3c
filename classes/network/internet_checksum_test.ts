import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { fillChecksum, internetChecksum } from "./internet_checksum.ts";

Deno.test("internetChecksum() is that of RFC 1071", () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assertEquals(internetChecksum(bytes), ~0xddf2 & 0xffff);
  assertEquals(internetChecksum(bytes, 0, 7), ~0xdcfb & 0xffff);
});

Deno.test("a frame that fillChecksum() completed sums up to what its pseudo header was", () => {
  const frames = fc.uint8Array({ minLength: 40, maxLength: 300 });
  fc.assert(fc.property(frames, fc.nat(8), (bytes, half) => {
    const frame = Uint8Array.from(bytes);
    const [start, offset] = [14, 2 * half];
    const pseudo = frame[start + offset]! << 8 | frame[start + offset + 1]!;
    fillChecksum(frame, start, offset);
    assertEquals(internetChecksum(frame, start, frame.length, pseudo) % 0xffff, 0);
  }));
});
