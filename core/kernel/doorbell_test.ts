import { assertEquals } from "@std/assert";
import { CONTROL_BYTES } from "../bus/control.ts";
import { close } from "../linux/fd.ts";
import { libc } from "../linux/libc.ts";
import { memoryFile } from "../linux/memory.ts";
import { positioned } from "../linux/positioned.ts";
import { fromWire, wireDoorbell } from "./boot.ts";
import { Doorbells } from "./doorbell.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

const limits = {
  words: new Int32Array(new SharedArrayBuffer(CONTROL_BYTES)),
  low() {},
  wait() {},
};

Deno.test("Doorbells: one that is mapped stores its value, in its width, and nothing beside it", () => {
  const fd = memoryFile("device", 65536);
  const file = positioned(fd, 0);
  const mapped = { fd, page: 8192, at: 16, width: 2, value: 3 } as const;
  using doorbells = new Doorbells([mapped, { ...mapped, at: 20, width: 4 }], limits);
  for (const at of [8204, 8208, 8212, 8216]) file.write(at, 4, 0xffffffff);
  doorbells.rings[0]!(0x12345678);
  assertEquals([8204, 8208, 8212, 8216].map((at) => file.read(at, 4)), [
    0xffffffff,
    0xffff0003,
    0xffffffff,
    0xffffffff,
  ]);
  // Notification data stand in the upper half.
  doorbells.rings[1]!(0x92345678 | 0);
  assertEquals([8208, 8212, 8216].map((at) => file.read(at, 4)), [
    0xffff0003,
    0x92340003,
    0xffffffff,
  ]);
  close(fd);
});

Deno.test("Doorbells: one that is mapped rings without its descriptor, and no more when it was disposed", () => {
  const fd = memoryFile("device", 65536);
  const file = positioned(fd, 0);
  const other = memoryFile("another device", 65536);
  const doorbells = new Doorbells([{ fd: other, page: 0, at: 0, width: 2, value: 1 }], limits);
  const otherFile = positioned(other, 0);
  doorbells.rings[0]!(0);
  assertEquals(otherFile.read(0, 2), 1);
  otherFile.write(0, 2, 0);
  doorbells[Symbol.dispose]();
  doorbells.rings[0]!(0);
  assertEquals([otherFile.read(0, 2), file.read(0, 2)], [0, 0]);
  close(other);
  close(fd);
});

Deno.test("wireDoorbell: a doorbell comes through JSON as it was, with another descriptor", () => {
  const written = {
    fd: 3,
    message: Uint8Array.of(1, 2, 255),
    data: { at: 1, form: "hex" },
    credits: 7,
  } as const;
  const mapped = { fd: 4, page: 4096, at: 12, width: 4, value: 9 } as const;
  for (const doorbell of [written, mapped]) {
    const text = JSON.stringify(wireDoorbell(doorbell, 20));
    assertEquals(fromWire(JSON.parse(text)), { ...doorbell, fd: 20 });
  }
});
