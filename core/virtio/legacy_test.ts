import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { byteRegisters } from "../pci/byte_registers.ts";
import type { Registers } from "../pci/registers.ts";
import type { OpenFunction } from "../pci/function.ts";
import { layoutSplit } from "../virtqueue/layout.ts";
import { DeviceFault } from "../pci/device_fault.ts";
import { legacyTransport } from "./legacy.ts";
import { DeviceStatus } from "./status.ts";
import { NO_VECTOR } from "./transport.ts";
import { written } from "../platform/written_test.ts";

interface FakeOptions {
  /** Entries of each queue. */
  readonly queues?: readonly number[];
  /** Whether MSI-X is enabled. */
  readonly msix?: boolean;
  /** What a read of the register at this offset gives instead. */
  readonly read?: (offset: number) => number | undefined;
  readonly barSize?: number;
  readonly memoryBar?: boolean;
}

/** A legacy device of memory; it knows its queues, and nothing else. */
function fake({ queues = [8, 256], msix = false, read, barSize = 128, memoryBar }: FakeOptions) {
  const config = byteRegisters(new Uint8Array(256));
  config.write32(0x10, memoryBar ? 0 : 1);
  config.write8(0x06, 0x10);
  config.write8(0x34, 0x40);
  config.write16(0x40, 0x11);
  config.write16(0x42, msix ? 0x8001 : 1);
  const memory = byteRegisters(new Uint8Array(barSize));
  const state = queues.map((size) => ({ size, page: 0, vector: NO_VECTOR }));
  const log: string[] = [];
  const selected = () => state[memory.read16(0x0e)];
  const special = (offset: number) => {
    if (offset === 0x0c) return selected()?.size ?? 0;
    if (offset === 0x08) return selected()?.page ?? 0;
    return undefined;
  };
  const bar: Registers = {
    ...memory,
    read8: (offset) => read?.(offset) ?? memory.read8(offset),
    read16: (offset) => read?.(offset) ?? special(offset) ?? memory.read16(offset),
    read32: (offset) => read?.(offset) ?? special(offset) ?? memory.read32(offset),
    write8: (offset, value) => (log.push(`8 ${offset}=${value}`), memory.write8(offset, value)),
    write16: (offset, value) => (log.push(`16 ${offset}=${value}`), memory.write16(offset, value)),
    write32(offset, value) {
      log.push(`32 ${offset}=${value}`);
      const queue = selected();
      if (offset === 0x08 && queue) queue.page = value;
      else memory.write32(offset, value);
    },
  };
  const nothing = () => {
    throw new Error("not here");
  };
  const device: OpenFunction = {
    config,
    bar: (index) => index === 0 ? bar : undefined,
    doorbell: (index, offset, value, width) => ({
      fd: 7,
      message: Uint8Array.of(index, offset, value, width),
    }),
    dma: nothing,
    vectors: nothing,
    takeAnswers: nothing,
    [Symbol.dispose]: nothing,
  };
  return { device, memory, state, log };
}

/** Checks the rule that a fault names. */
function breaks(rule: string, act: () => unknown): void {
  assertEquals(assertThrows(act, DeviceFault).rule, rule);
}

/** Addresses as `layoutSplit` gives them. */
function placed(size: number, start = 0x12_3456_7000) {
  const { descriptors, driver, device } = layoutSplit(start, size, 0);
  return { size, descriptors, driver, device };
}

Deno.test("legacyTransport() takes I/O BAR 0 and counts the queues up to the first that is absent", () => {
  assertEquals(legacyTransport(fake({}).device).queues, 2);
  assertEquals(legacyTransport(fake({ queues: [8, 0, 8] }).device).queues, 1);
  assertEquals(legacyTransport(fake({ queues: Array(100).fill(8) }).device).queues, 64);
  breaks("D-31", () => legacyTransport(fake({ queues: [] }).device));
  breaks("D-06", () => legacyTransport(fake({ memoryBar: true }).device));
  breaks("D-06", () => legacyTransport(fake({ barSize: 16 }).device));
  const { device } = fake({});
  breaks("D-06", () => legacyTransport({ ...device, bar: () => undefined }));
});

Deno.test("legacy: status, features and interrupt status are where the specification says", async () => {
  const { device, memory, log } = fake({});
  const transport = legacyTransport(device);
  assertEquals([transport.kind, transport.resizable], ["legacy", false]);
  log.length = 0;
  transport.addStatus(DeviceStatus.ACKNOWLEDGE);
  transport.addStatus(DeviceStatus.DRIVER);
  assertEquals(transport.status(), 3);
  await transport.reset();
  memory.write32(0x00, 0xf000_0001);
  assertEquals(transport.offeredFeatures(), 0xf000_0001n);
  transport.acceptFeatures(0x8000_0001n);
  assertThrows(() => transport.acceptFeatures(1n << 32n), RangeError, "32 bits");
  memory.write8(0x13, 3);
  assertEquals(transport.interruptStatus(), 3);
  // Which queues there are may depend on the features.
  const selects = log.splice(4);
  assertEquals(selects, ["16 14=0", "16 14=1", "16 14=2"]);
  assertEquals(log, ["8 18=1", "8 18=3", "8 18=0", `32 4=${0x8000_0001}`]);
});

Deno.test("legacy: a status of all ones is a device that is gone (D-21)", async () => {
  const { device } = fake({ read: (offset) => offset === 0x12 ? 0xff : undefined });
  const transport = legacyTransport(device);
  breaks("D-21", () => transport.addStatus(1));
  await assertRejects(() => transport.reset(), DeviceFault, "gone");
});

for (const msix of [false, true]) {
  const start = msix ? 0x18 : 0x14;
  Deno.test(`legacy: configuration starts at 0x${start.toString(16)} ${msix ? "with" : "without"} MSI-X`, () => {
    const { device, memory } = fake({ msix });
    for (let i = start; i < 128; i++) memory.write8(i, i);
    const widths = [8, 4, 2, 1, 1];
    const config = legacyTransport(device).config(widths);
    assertEquals(config.length, 128 - start);
    assertEquals([...config.subarray(0, 17)], [
      ...Array.from({ length: 16 }, (_, i) => start + i),
      0,
    ]);
  });
}

Deno.test("legacy: a field of the configuration is written where it is", () => {
  for (const [msix, start] of [[false, 0x14], [true, 0x18]] as const) {
    const { device, memory } = fake({ msix });
    legacyTransport(device).writeConfig(2, 2, 0x1234);
    assertEquals(memory.read16(start + 2), 0x1234);
  }
});

Deno.test("legacy: configuration is read until it is the same twice, 10 times at most (D-37)", () => {
  let left = 0, reads = 0;
  const { device } = fake({
    read(offset) {
      if (offset !== 0x14) return undefined;
      reads++;
      return left > 0 ? left-- : 0xabcd;
    },
  });
  const transport = legacyTransport(device);
  const read = (changes: number) => {
    [left, reads] = [changes, 0];
    return transport.config([4])[0];
  };
  assertEquals([read(0), reads], [0xcd, 2]);
  assertEquals([read(3), reads], [0xcd, 5]);
  assertEquals([read(8), reads], [0xcd, 10]);
  breaks("D-37", () => read(100));
  assertEquals(reads, 10);
});

Deno.test("legacy: a queue is enabled by its page, where layoutSplit() puts it", () => {
  for (const size of [1, 2, 8, 128, 256, 1024, 32768]) {
    const { device, state, log } = fake({ queues: [4, size] });
    const transport = legacyTransport(device);
    assertEquals(transport.queueMaximum(1), size);
    log.length = 0;
    transport.enableQueue(1, placed(size));
    assertEquals(state.map(({ page }) => page), [0, 0x12_3456_7]);
    // No vector register is there without MSI-X: behind the header is configuration.
    assertEquals(log, ["16 14=1", `32 8=${0x12_3456_7}`]);
    breaks("D-36", () => transport.enableQueue(1, placed(size)));
  }
});

Deno.test("legacy: a queue has one size, one shape and 44 bits of address", () => {
  const { device, state } = fake({});
  const transport = legacyTransport(device);
  breaks("D-35", () => transport.enableQueue(1, placed(128)));
  const good = placed(256);
  for (
    const bad of [
      { descriptors: good.descriptors + 16 },
      { driver: good.driver + 4096 },
      { device: good.device + 4096 },
      { device: good.device - 4096 },
    ]
  ) {
    assertThrows(() => transport.enableQueue(1, { ...good, ...bad }), RangeError, "2.7.2");
  }
  assertThrows(() => transport.enableQueue(1, placed(256, 2 ** 44)), RangeError, "16 TiB");
  assertThrows(() => transport.queueMaximum(2), RangeError, "the device has 2");
  assertThrows(() => transport.doorbell(2, 0n), RangeError, "the device has 2");
  assertEquals(state.map(({ page }) => page), [0, 0]);
  transport.enableQueue(1, placed(256, 2 ** 44 - 4 * 4096));
});

Deno.test("legacy: vectors are written and read back with MSI-X, and refused without", () => {
  const { device, log } = fake({ msix: true });
  const transport = legacyTransport(device);
  log.length = 0;
  assertEquals(transport.setConfigVector(0), true);
  assertEquals(transport.setQueueVector(1, 1), true);
  transport.enableQueue(1, placed(256, 0x10_0000));
  assertEquals(log, ["16 20=0", "16 14=1", "16 22=1", "16 14=1", "32 8=256"]);

  const full = legacyTransport(
    fake({ msix: true, read: (offset) => offset >= 0x14 ? NO_VECTOR : undefined }).device,
  );
  assertEquals(full.setConfigVector(1), false);
  assertEquals(full.setConfigVector(NO_VECTOR), true);
  assertEquals(full.setQueueVector(0, 1), false);

  const without = legacyTransport(fake({}).device);
  assertEquals(without.setConfigVector(0), false);
  assertEquals(without.setConfigVector(NO_VECTOR), true);
  assertEquals(without.setQueueVector(0, 0), false);
});

Deno.test("legacy: a doorbell is the queue's index, and no queue can be reset alone", async () => {
  const transport = legacyTransport(fake({}).device);
  assertEquals([...written(transport.doorbell(1, 0n)).message], [0, 0x10, 1, 2]);
  await assertRejects(() => transport.resetQueue(1), Error, "reset the device");
});
