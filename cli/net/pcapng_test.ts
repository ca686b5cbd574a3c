import { assertEquals } from "@std/assert";
import {
  enhancedPacket,
  interfaceDescription,
  interfaceStatistics,
  sectionHeader,
} from "./pcapng.ts";

const hex = (bytes: Uint8Array) => bytes.toHex();
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

Deno.test("sectionHeader() begins a file whose length is not known", () => {
  assertEquals(
    hex(sectionHeader("abc")),
    "0a0d0d0a" + "28000000" + "4d3c2b1a" + "01000000" + "ffffffffffffffff" +
      "04000300" + "61626300" + "00000000" + "28000000",
  );
});

Deno.test("interfaceDescription() names the interface and counts nanoseconds", () => {
  const block = interfaceDescription({
    name: "card",
    description: "d",
    mac: MAC,
    speed: 10_000_000_000,
    snapLength: 0x40000,
  });
  assertEquals(
    hex(block),
    "01000000" + "48000000" + "01000000" + "00000400" + "02000400" + "63617264" + "03000100" +
      "64000000" + "06000600" + "525400123456" + "0000" + "08000800" + "00e40b5402000000" +
      "09000100" + "09000000" + "00000000" + "48000000",
  );
});

Deno.test("enhancedPacket() keeps no more than it is told, and says how long the frame was", () => {
  // 2^32 nanoseconds and one million more.
  const block = enhancedPacket(2 ** 32 / 1e6 + 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7), 5);
  assertEquals(
    hex(block),
    "06000000" + "34000000" + "00000000" + "01000000" + "40420f00" + "05000000" + "07000000" +
      "0102030405000000" + "02000400" + "01000000" + "00000000" + "34000000",
  );
});

Deno.test("interfaceStatistics() says what came in and what was dropped", () => {
  const block = interfaceStatistics({ start: 1, end: 2, received: 7, dropped: 3 });
  const [start, end] = ["0000000040420f00", "0000000080841e00"];
  assertEquals(
    hex(block),
    "05000000" + "58000000" + "00000000" + end + "02000800" + start + "03000800" + end +
      "04000800" + "0700000000000000" + "05000800" + "0300000000000000" +
      "08000800" + "0400000000000000" + "00000000" + "58000000",
  );
});
