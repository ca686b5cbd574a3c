import { assertEquals, assertThrows } from "@std/assert";
import {
  balloonProperties,
  encodeStatistics,
  MEMORY_STATISTICS,
  type MemoryStatistic,
  STATISTICS_BYTES,
} from "./protocol.ts";
import { readProperties } from "../../core/class/properties.ts";

const GOOD = {
  pages: 16384,
  requested: 5,
  deflateOnOom: true,
  statistics: true,
  hinting: false,
  reporting: false,
};

Deno.test("balloonProperties takes what a driver tells, and nothing else", () => {
  const read = (told: Record<string, unknown>) =>
    readProperties(balloonProperties, told, "balloon");
  assertEquals(read({ ...GOOD, other: 1 }), GOOD);
  for (
    const [name, value] of [
      ["pages", -1],
      ["pages", 1.5],
      ["pages", "16"],
      ["requested", 2 ** 32],
      ["requested", undefined],
      ["deflateOnOom", 1],
      ["statistics", "yes"],
      ["hinting", null],
      ["reporting", undefined],
    ] as const
  ) {
    const given = { ...GOOD, [name]: value };
    assertThrows(() => read(given), TypeError, `property ${name} of the driver balloon: it is`);
  }
});

Deno.test("encodeStatistics() writes a tag of 16 bits and a value of 64 for each figure #balloon:stats_tags", () => {
  const bytes = encodeStatistics(["freeMemory", "directReclaims", "swapIn"], {
    swapIn: 0x1_0203_0405,
    freeMemory: 7,
  });
  assertEquals(
    [...bytes],
    [
      ...[4, 0, 7, 0, 0, 0, 0, 0, 0, 0],
      ...[15, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      ...[0, 0, 5, 4, 3, 2, 1, 0, 0, 0],
    ],
  );
});

Deno.test("all figures, of the specification and of Linux, fit into a slot #balloon:stats_tags #balloon:linux_tags", () => {
  const names = Object.keys(MEMORY_STATISTICS) as MemoryStatistic[];
  assertEquals(Object.values(MEMORY_STATISTICS), Array.from({ length: 16 }, (_, tag) => tag));
  assertEquals(encodeStatistics(names, {}).length, STATISTICS_BYTES);
});
