import { assertEquals } from "@std/assert";
import { isIoBar, readBar, sizeBars, writeBar } from "./bars.ts";
import { BAR0, COMMAND } from "./config_space.ts";
import { fakeMachine } from "./fake_functions_test.ts";
import type { Registers } from "./registers.ts";

function config(bars: readonly number[], isBridge = false): Registers {
  const machine = fakeMachine([{ device: 0, bars, ...(isBridge ? { behind: [] } : {}) }]);
  return machine({ domain: 0, bus: 0, device: 0, function: 0 });
}

Deno.test("sizeBars() decodes I/O, 32-bit and 64-bit BARs", () => {
  const virtio = config([0xffffff81, 0xfffff000, 0, 0, 0xffffc00c, 0xffffffff]);
  assertEquals(sizeBars(virtio), [
    { index: 0, space: "io", bits: 32, prefetchable: false, size: 128 },
    { index: 1, space: "memory", bits: 32, prefetchable: false, size: 4096 },
    { index: 4, space: "memory", bits: 64, prefetchable: true, size: 16384 },
  ]);
});

Deno.test("sizeBars() knows sizes of 2 GiB and more, and 16-bit I/O decoders", () => {
  const sizes = (...bars: number[]) => sizeBars(config(bars)).map(({ size }) => size);
  assertEquals(sizes(0x80000000), [2 ** 31]);
  assertEquals(sizes(0x0000000c, 0xffffffff), [2 ** 32]);
  assertEquals(sizes(0x0000000c, 0xfffffff0), [2 ** 36]);
  assertEquals(sizes(0x0000fff1), [16]);
});

Deno.test("sizeBars() ignores what is no BAR", () => {
  assertEquals(sizeBars(config([0, 0, 0, 0, 0, 0])), []);
  assertEquals(sizeBars(config([0x0000000c, 0])), []);
  const bridge = config([0xfffff000, 0], true);
  bridge.write32(BAR0 + 8, 0x00020100); // bus numbers
  assertEquals(sizeBars(bridge).map(({ index }) => index), [0]);
  assertEquals(bridge.read32(BAR0 + 8), 0x00020100);
});

Deno.test("sizeBars() takes no bit of a small BAR's address for what the BAR is", () => {
  // As QEMU's pvpanic-pci has it: 2 bytes of memory, with every bit but the lowest changeable.
  const small = config([0xfffffffe, 0, 0xfffff000]);
  assertEquals(sizeBars(small), [
    { index: 0, space: "memory", bits: 32, prefetchable: false, size: 16 },
    { index: 2, space: "memory", bits: 32, prefetchable: false, size: 4096 },
  ]);
});

Deno.test("sizeBars() leaves addresses and the command register as they were", () => {
  const device = config([0xfffff000, 0, 0xffffc00c, 0xffffffff]);
  const [first, second] = sizeBars(device);
  writeBar(device, first!, 0xc0001000);
  writeBar(device, second!, 0x12_8000_4000);
  device.write16(COMMAND, 7);
  sizeBars(device);
  assertEquals(device.read32(BAR0), 0xc0001000);
  assertEquals(device.read32(BAR0 + 8), 0x8000400c);
  assertEquals(device.read32(BAR0 + 12), 0x12);
  assertEquals(device.read16(COMMAND), 7);
});

Deno.test("isIoBar() and readBar() see through the low bits of a BAR", () => {
  const virtio = config([0xffffff81, 0xfffff000, 0, 0, 0xffffc00c, 0xffffffff]);
  const bars = sizeBars(virtio);
  const addresses = [0xc080, 0xfebff000, 0x12_8000_4000];
  bars.forEach((bar, i) => writeBar(virtio, bar, addresses[i]!));
  assertEquals(bars.map((bar) => readBar(virtio, bar)), addresses);
  assertEquals([0, 1, 2, 4].map((index) => isIoBar(virtio, index)), [true, false, false, false]);
});
