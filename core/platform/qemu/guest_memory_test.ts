import { assertEquals, assertThrows } from "@std/assert";
import { libc } from "../../linux/libc.ts";
import { mapShared } from "../../linux/memory.ts";
import { guestMemory } from "./guest_memory.ts";

libc(); // here, so that the first test is not blamed for what stays open

const MIB = 1 << 20;
const KIB64 = 65536;

Deno.test("guestMemory() hands out memory above the holes of a PC, where devices find it", () => {
  using memory = guestMemory(16 * MIB);
  const { fd, ...first } = memory.take(KIB64);
  assertEquals(fd, memory.fd);
  assertEquals(first, { offset: MIB, size: KIB64, runs: [{ address: MIB, length: KIB64 }] });
  assertEquals(memory.take(2 * KIB64).offset, MIB + KIB64);
});

Deno.test("guestMemory() reuses what was given back, as one piece and zeroed", () => {
  using memory = guestMemory(2 * MIB);
  const parts = Array.from({ length: 16 }, () => memory.take(KIB64));
  assertThrows(() => memory.take(KIB64), RangeError, "at most 0 are free");
  const bytes = new Uint8Array(mapShared(memory.fd, parts[3]!.offset, KIB64));
  bytes.fill(1);
  for (const i of [5, 3, 4]) memory.give(parts[i]!);
  assertThrows(() => memory.take(4 * KIB64), RangeError, `at most ${3 * KIB64} are free`);
  assertEquals(memory.take(3 * KIB64).offset, parts[3]!.offset);
  assertEquals(bytes.every((byte) => byte === 0), true);
});

Deno.test("guestMemory() refuses sizes that are not whole granules", () => {
  using memory = guestMemory(2 * MIB);
  for (const bytes of [0, -KIB64, 4096, NaN, KIB64 + 1]) {
    assertThrows(() => memory.take(bytes), RangeError, "not a multiple of 65536");
  }
});
