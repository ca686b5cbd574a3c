import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import {
  assign,
  type AssignedBar,
  type Assignment,
  noRoom,
  reassign,
  type Windows,
} from "./assign.ts";
import {
  BAR0,
  COMMAND,
  IO_BASE,
  IO_LIMIT,
  MEMORY_BASE,
  MEMORY_LIMIT,
  PREFETCHABLE_BASE,
  PREFETCHABLE_BASE_UPPER,
  PREFETCHABLE_LIMIT,
  PREFETCHABLE_LIMIT_UPPER,
} from "./config_space.ts";
import { type BusFunction, enumerate } from "./enumerate.ts";
import { type FakeFunction, fakeMachine } from "./fake_functions_test.ts";
import type { Registers } from "./registers.ts";

const WINDOWS: Windows = {
  io: [{ start: 0xc000, end: 0x10000 }, { start: 0x1000, end: 0x2000 }],
  memory: { start: 0xc000_0000, end: 0xc800_0000 },
  prefetchable: { start: 0x10_0000_0000, end: 0x20_0000_0000 },
};
const IO_128 = [0xffffff81];
const MEMORY_4K = [0xfffff000];
const MEMORY_16K_64 = [0xffffc00c, 0xffffffff];

function assigned(functions: readonly FakeFunction[]): [BusFunction[], Assignment] {
  const tree = enumerate(fakeMachine(functions));
  return [tree, assign(tree, WINDOWS)];
}

/** What a bridge passes on, as the hardware sees it. */
function passes(bridge: Registers): Record<"io" | "memory" | "prefetchable", [number, number]> {
  const high = (offset: number) => bridge.read32(offset) * 2 ** 32;
  const low = (offset: number) => (bridge.read16(offset) >> 4) * 2 ** 20;
  return {
    io: [(bridge.read8(IO_BASE) >> 4) << 12, ((bridge.read8(IO_LIMIT) >> 4) << 12) + 0xfff],
    memory: [low(MEMORY_BASE), low(MEMORY_LIMIT) + 0xfffff],
    prefetchable: [
      high(PREFETCHABLE_BASE_UPPER) + low(PREFETCHABLE_BASE),
      high(PREFETCHABLE_LIMIT_UPPER) + low(PREFETCHABLE_LIMIT) + 0xfffff,
    ],
  };
}

Deno.test("assign() gives each BAR of a virtio device its place and leaves the device off", () => {
  const [[device], assignment] = assigned([
    { device: 1, bars: [...IO_128, ...MEMORY_4K, 0, 0, ...MEMORY_16K_64] },
  ]);
  assertEquals(assignment.get(device!)!.map(({ address }) => address), [
    0xc000,
    0xc000_0000,
    0x10_0000_0000,
  ]);
  assertEquals([0, 1, 4, 5].map((i) => device!.config.read32(BAR0 + 4 * i)), [
    0xc001,
    0xc000_0000,
    0x0000_000c,
    0x10,
  ]);
  assertEquals(device!.config.read16(COMMAND), 0);
});

Deno.test("assign() opens a bridge's windows for what is behind it and turns it on", () => {
  const [[bridge], assignment] = assigned([{
    device: 1,
    wide: true,
    bars: MEMORY_4K,
    behind: [{ device: 0, bars: [...IO_128, ...MEMORY_4K, ...MEMORY_16K_64] }],
  }]);
  assertEquals(passes(bridge!.config), {
    io: [0xc000, 0xcfff],
    memory: [0xc010_0000, 0xc01f_ffff],
    prefetchable: [0x10_0000_0000, 0x10_000f_ffff],
  });
  assertEquals(assignment.get(bridge!.behind![0]!)!.map(({ address }) => address), [
    0xc000,
    0xc010_0000,
    0x10_0000_0000,
  ]);
  assertEquals(bridge!.config.read16(COMMAND), 7);
});

Deno.test("assign() closes the windows of a bridge with nothing behind it", () => {
  const [[bridge]] = assigned([{ device: 1, wide: true, behind: [] }]);
  for (const [first, last] of Object.values(passes(bridge!.config))) assert(last < first);
});

Deno.test("assign() keeps everything below 4 GiB behind a bridge without 64-bit window", () => {
  const [[bridge], assignment] = assigned([
    { device: 1, behind: [{ device: 0, bars: MEMORY_16K_64 }] },
  ]);
  assertEquals(assignment.get(bridge!.behind![0]!)![0]!.address, 0xc000_0000);
});

Deno.test("assign() leaves a BAR without address where there is no room, and goes on", () => {
  const [[large, small], assignment] = assigned([
    { device: 1, bars: [0xf000_0000] }, // 256 MiB
    { device: 2, bars: MEMORY_4K },
  ]);
  assertEquals(assignment.get(large!)![0]!.address, undefined);
  assertEquals(assignment.get(small!)![0]!.address, 0xc000_0000);
});

Deno.test("assign() opens a bridge for ports until there are none left, and says for which BAR #core:io_space", () => {
  const behind = (device: number) => ({ device, behind: [{ device: 0, bars: IO_128 }] });
  const functions = [1, 2, 3, 4, 5, 6, 7].map(behind);
  const [tree, assignment] = assigned([
    ...functions,
    { device: 8, behind: [{ device: 0, bars: MEMORY_4K }] },
    { device: 9, bars: IO_128 },
  ]);
  const bars = tree.map((found) => assignment.get(found.behind?.[0] ?? found)![0]!);
  // The function of bus 0 comes first, then one bridge after the other.
  assertEquals(bars.map(({ address }) => address), [
    ...[0xd000, 0xe000, 0xf000, 0x1000, undefined, undefined, undefined],
    ...[0xc000_0000, 0xc000],
  ]);
  assertEquals(
    noRoom(bars[4]!),
    "no I/O ports are left for its BAR 0 of 128 bytes; each bridge with ports behind it takes 4096 of them",
  );
  assertEquals(noRoom(bars[0]!), undefined);
});

Deno.test("assign() wastes nothing on bridges that pass nothing on #core:io_space", () => {
  const empty = (device: number) => ({ device, wide: true, behind: [] });
  const [tree, assignment] = assigned([
    { device: 1, bars: [...IO_128, ...MEMORY_4K] },
    ...[2, 3, 4, 5, 6, 7, 8].map(empty),
    { device: 9, behind: [{ device: 0, bars: [...IO_128, ...MEMORY_4K] }] },
  ]);
  const last = assignment.get(tree.at(-1)!.behind![0]!)!;
  assertEquals(last.map(({ address }) => address), [0xd000, 0xc010_0000]);
});

Deno.test("assign() puts 64-bit BARs where there is room, and the first function before all others #core:io_space", () => {
  const memory64 = (size: number) => [0x4, -size >>> 0]; // GiB times 4, not prefetchable
  const functions = [
    { device: 1, bars: memory64(2) }, // 8 GiB
    { device: 2, bars: [0xfc000000] }, // 64 MiB
    { device: 3, bars: [0xfc000000] },
    { device: 4, bars: [0xfc000000] },
    { device: 5, bars: [0xc, 0xffffff80] }, // 512 GiB
    { device: 6, bars: MEMORY_4K },
  ];
  const tree = enumerate(fakeMachine(functions));
  const assignment = assign(tree, WINDOWS, tree.at(-1));
  assertEquals(tree.map((found) => assignment.get(found)![0]!.address), [
    0x10_0000_0000,
    0xc400_0000,
    undefined,
    undefined,
    undefined,
    0xc000_0000,
  ]);
  const reasons = tree.map((found) => noRoom(assignment.get(found)![0]!));
  assertMatch(reasons[2]!, /^no addresses below 4 GiB are left for its BAR 0 of 67108864 bytes$/);
  assertMatch(reasons[4]!, /^no memory addresses are left for its BAR 0 of 549755813888 bytes$/);
});

const anyBars = fc.array(
  fc.constantFrom(IO_128, MEMORY_4K, MEMORY_16K_64, [0xfff00000], [0xff00000c, 0xffffffff]),
  { maxLength: 3 },
).map((bars) => bars.flat());

const anyBus = fc.letrec<{ bus: FakeFunction[] }>((tie) => ({
  bus: fc.array(
    fc.record({
      bars: anyBars,
      wide: fc.boolean(),
      behind: fc.option(tie("bus"), { nil: undefined, depthSize: "small" }),
    }),
    { maxLength: 4 },
  ).map((functions) =>
    functions.map(({ behind, bars, wide }, device) =>
      behind
        ? { device, wide, behind, bars: bars.slice(0, 1).map((bar) => bar & ~4) }
        : { device, bars }
    )
  ),
})).bus;

Deno.test("assign() never lets two BARs overlap, and each bridge passes on what is behind it", () => {
  fc.assert(
    fc.property(anyBus, (functions) => {
      const [tree, assignment] = assigned(functions);
      const placed = [...assignment.values()].flat().filter(hasAddress);
      for (const space of ["io", "memory"]) {
        const inSpace = placed.filter((bar) => bar.space === space)
          .sort((a, b) => a.address - b.address);
        inSpace.forEach((bar, i) => {
          assertEquals(bar.address % bar.size, 0);
          assert(i === 0 || inSpace[i - 1]!.address + inSpace[i - 1]!.size <= bar.address);
        });
      }
      checkBridges(tree, assignment);
    }),
    { numRuns: 300 },
  );
});

function hasAddress(bar: AssignedBar): bar is AssignedBar & { address: number } {
  return bar.address !== undefined;
}

/** Checks that each BAR is inside the windows of the bridges above; returns the BARs of the functions. */
function checkBridges(
  functions: readonly BusFunction[],
  assignment: Assignment,
): (AssignedBar & { address: number })[] {
  return functions.flatMap(({ config, behind }, i) => {
    const below = behind ? checkBridges(behind, assignment) : [];
    if (behind) {
      const { io, memory, prefetchable } = passes(config);
      for (const { space, address, size } of below) {
        const windows = space === "io" ? [io] : [memory, prefetchable];
        assert(windows.some(([first, last]) => address >= first && address + size - 1 <= last));
      }
    }
    return [...assignment.get(functions[i]!)!.filter(hasAddress), ...below];
  });
}

Deno.test("reassign() gives BARs their addresses again, and touches none that has its own", () => {
  const [[found], assignment] = assigned([{ device: 0, bars: [...IO_128, ...MEMORY_16K_64] }]);
  const { config } = found!;
  const bars = assignment.get(found!)!;
  const read = () => [0, 1, 2].map((i) => config.read32(BAR0 + 4 * i));
  const before = read();
  for (const i of [0, 2]) config.write32(BAR0 + 4 * i, 0);
  const written = new Set<number>();
  reassign({
    ...config,
    write32: (offset, value) => (written.add(offset), config.write32(offset, value)),
  }, [...bars, { ...bars[0]!, index: 5, address: undefined! }]);
  assertEquals(read(), before);
  assertEquals([...written], [BAR0, BAR0 + 4, BAR0 + 8]);
  written.clear();
  reassign(config, bars);
  assertEquals(read(), before);
});
