import { assertEquals, assertThrows } from "@std/assert";
import type { Registers } from "../pci/registers.ts";
import { controlBytes, ControlWord, DOORBELLS } from "./control.ts";
import { doorbellWriter, passDoorbells } from "./written_doorbells.ts";

/** A window that remembers what was written to it. */
function recorded(bytes: number) {
  const writes: [number, number][] = [];
  const window = {
    size: bytes,
    write32: (offset: number, value: number) => void writes.push([offset, value]),
  } as Partial<Registers> as Registers;
  return { window, writes };
}

function control(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(controlBytes(4096)));
}

Deno.test("passDoorbells writes the latest value of each doorbell that was written, once #core:written_doorbells", () => {
  const words = control();
  const { window, writes } = recorded(4096);
  let rings = 0;
  const write = doorbellWriter(words, 4096, () => rings++);
  for (const [offset, value] of [[0, 1], [4092, 7], [124, 0xffffffff], [128, 5], [0, 2]] as const) {
    write(offset, value);
  }
  assertEquals([rings, passDoorbells(words, window)], [5, 4]);
  assertEquals(writes, [[0, 2], [124, 0xffffffff], [128, 5], [4092, 7]]);
  assertEquals(passDoorbells(words, window), 0);
  // The same value again is news too.
  write(128, 5);
  assertEquals([passDoorbells(words, window), writes.at(-1)], [1, [128, 5]]);
});

Deno.test("a doorbell outside of the window cannot be written, and is not passed on #core:written_doorbells", () => {
  const words = control();
  const { window, writes } = recorded(40);
  const write = doorbellWriter(words, 40, () => {});
  for (const offset of [40, -4, 2, 1.5, NaN]) {
    assertThrows(() => write(offset, 1), RangeError, "Cannot access 4 bytes at");
  }
  // A process that was taken over writes where it likes: what it was not granted stays out of reach.
  words.fill(-1, ControlWord.doorbellsWritten, ControlWord.doorbellsWritten + 32);
  words.fill(9, DOORBELLS / 4, DOORBELLS / 4 + 1024);
  assertEquals(passDoorbells(words, window), 10);
  assertEquals(writes.every(([offset]) => offset < 40), true);
  assertEquals(passDoorbells(words, undefined), 0);
});
