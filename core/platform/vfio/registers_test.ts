import { assertEquals, assertThrows } from "@std/assert";
import { close } from "../../linux/fd.ts";
import { mapDevice } from "../../linux/device_memory.ts";
import { libc } from "../../linux/libc.ts";
import { memoryFile } from "../../linux/memory.ts";
import { positioned } from "../../linux/positioned.ts";
import { deviceRegisters, wholePages } from "./registers.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

/** A window of three pages from the second page of a file on, of which the middle one is mapped. */
function window() {
  const fd = memoryFile("registers", 65536);
  const calls = positioned(fd, 4096);
  const memory = mapDevice(fd, 8192, 4096);
  const registers = deviceRegisters(12288, calls, [{ offset: 4096, buffer: memory.buffer }]);
  return { fd, calls, memory, registers, [Symbol.dispose]: () => (memory.unmap(), close(fd)) };
}

const PLACES = [0, 4092, 4096, 8188, 8192, 12284];

Deno.test("deviceRegisters: mapped or not, each width reads what it wrote, little-endian", () => {
  using w = window();
  const { registers } = w;
  for (const place of PLACES) {
    registers.write32(place, 0x80c0a1f2);
    assertEquals(registers.read32(place), 0x80c0a1f2);
    assertEquals([registers.read16(place), registers.read16(place + 2)], [0xa1f2, 0x80c0]);
    assertEquals(registers.read8(place + 3), 0x80);
    registers.write16(place + 2, 0x1234);
    registers.write8(place, 0x56);
    assertEquals(registers.read32(place), 0x1234a156);
  }
});

Deno.test("deviceRegisters: the mapped part and the file are the same bytes", () => {
  using w = window();
  const whole = positioned(w.fd, 0);
  w.registers.write32(4100, 7);
  assertEquals(whole.read(8196, 4), 7);
  whole.write(8200, 2, 0xabcd);
  assertEquals(w.registers.read16(4104), 0xabcd);
});

Deno.test("deviceRegisters: nothing is reached outside of the window, or across a width", () => {
  using w = window();
  assertThrows(() => w.registers.read32(12286), RangeError);
  assertThrows(() => w.registers.read16(12288), RangeError);
  assertThrows(() => w.registers.write16(4097, 1), RangeError);
  assertThrows(() => w.registers.read8(-1), RangeError);
});

Deno.test("deviceRegisters: what is gone reads as all ones and takes no writes", () => {
  using w = window();
  w.memory.unmap();
  w.memory.unmap();
  w.calls.end();
  const whole = positioned(w.fd, 0);
  for (const place of PLACES) {
    w.registers.write32(place, 0);
    w.registers.write16(place, 0);
    w.registers.write8(place, 0);
    assertEquals(
      [w.registers.read8(place), w.registers.read16(place), w.registers.read32(place)],
      [0xff, 0xffff, 0xffffffff],
    );
    assertEquals(whole.read(place + 4096, 4), 0);
  }
});

Deno.test("positioned: a file that ends before reads as all ones", () => {
  const fd = memoryFile("short", 4096);
  assertEquals(positioned(fd, 0).read(4094, 4), 0xffffffff);
  assertEquals(positioned(fd, 0).read(4094, 2), 0);
  close(fd);
});

Deno.test("wholePages: registers can be mapped if all their pages lie in one part that can be #core:mapped_registers", () => {
  const whole = [{ offset: 0, size: 16384 }];
  assertEquals(wholePages(whole, 0, 16384), { start: 0, bytes: 16384 });
  assertEquals(wholePages(whole, 8200, 2), { start: 8192, bytes: 4096 });
  assertEquals(wholePages(whole, 12288, 8192), undefined);
  // A BAR with an interrupt table in its third page, and one that is smaller than a page.
  const sparse = [{ offset: 0, size: 8192 }, { offset: 12288, size: 4096 }];
  assertEquals(wholePages(sparse, 4096, 64), { start: 4096, bytes: 4096 });
  assertEquals(wholePages(sparse, 8192, 64), undefined);
  assertEquals(wholePages(sparse, 4096, 12288), undefined);
  assertEquals(wholePages([{ offset: 0, size: 256 }], 0, 16), undefined);
  assertEquals(wholePages([], 0, 4096), undefined);
});
