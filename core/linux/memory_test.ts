import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { close } from "./fd.ts";
import { libc } from "./libc.ts";
import {
  discard,
  disconnect,
  GRANULE,
  HUGE_PAGE,
  hugeMemoryFile,
  mapShared,
  memoryFile,
} from "./memory.ts";
import { OsError } from "./os_error.ts";

// Opened once for the whole process, so not by a test.
libc();

/** The file behind a descriptor, as another process sees it. */
function outside(fd: number): Deno.FsFile {
  return Deno.openSync(`/proc/self/fd/${fd}`, { read: true, write: true });
}

function at(file: Deno.FsFile, offset: number, length: number): number[] {
  const bytes = new Uint8Array(length);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.readSync(bytes);
  return [...bytes];
}

Deno.test("mapped memory is the file's, both ways", () => {
  const fd = memoryFile("test", 2 * GRANULE);
  using file = outside(fd);
  const memory = new Uint8Array(mapShared(fd, 0, 2 * GRANULE));
  assert(memory.every((byte) => byte === 0));
  memory.set([1, 2, 3], GRANULE - 1);
  assertEquals(at(file, GRANULE - 1, 3), [1, 2, 3]);
  file.seekSync(5, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.of(9));
  assertEquals(memory[5], 9);
  assertEquals(Atomics.add(new Int32Array(memory.buffer), 100, 7), 0);
  assertEquals(at(file, 400, 1), [7]);
  close(fd);
  memory[6] = 10;
  assertEquals(at(file, 6, 1), [10]);
});

Deno.test("two mappings of a file are the same memory", () => {
  const fd = memoryFile("test", 2 * GRANULE);
  const whole = new Uint8Array(mapShared(fd, 0, 2 * GRANULE));
  const part = new Uint8Array(mapShared(fd, 4096, GRANULE));
  close(fd);
  assertEquals([whole.length, part.length], [2 * GRANULE, GRANULE]);
  part[0] = 1;
  part[GRANULE - 1] = 2;
  assertEquals([whole[4096], whole[4096 + GRANULE - 1]], [1, 2]);
});

Deno.test("a mapping that is no multiple of 64 KiB ends in zeroes of our own", () => {
  const fd = memoryFile("test", 3 * 4096);
  using file = outside(fd);
  const memory = new Uint8Array(mapShared(fd, 0, 2 * 4096));
  assertEquals(memory.length, GRANULE);
  memory.fill(7);
  assertEquals([at(file, 2 * 4096 - 1, 1), at(file, 2 * 4096, 1)], [[7], [0]]);
  close(fd);
});

Deno.test("disconnected memory is shared no more", () => {
  const fd = memoryFile("test", GRANULE);
  using file = outside(fd);
  const buffer = mapShared(fd, 0, GRANULE);
  const memory = new Uint8Array(buffer);
  memory[0] = 1;
  disconnect(buffer);
  assertEquals(memory[0], 0);
  memory[0] = 2;
  assertEquals(at(file, 0, 1), [1]);
  file.seekSync(1, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.of(3));
  assertEquals(memory[1], 0);
  close(fd);
});

Deno.test("a memory file never shrinks", () => {
  const fd = memoryFile("test", GRANULE);
  using file = outside(fd);
  assertThrows(() => file.truncateSync(4096));
  assertEquals(file.statSync().size, GRANULE);
  close(fd);
});

Deno.test("discarded pages read as zero, and their neighbours stay", () => {
  const fd = memoryFile("test", GRANULE);
  const memory = new Uint8Array(mapShared(fd, 0, GRANULE)).fill(1);
  discard(fd, 4096, 8192);
  assertEquals([memory[4095], memory[4096], memory[12287], memory[12288]], [1, 0, 0, 1]);
  memory[4096] = 5;
  assertEquals(memory[4096], 5);
  close(fd);
  assertThrows(() => discard(fd, 0, 4096), OsError, "Cannot give shared memory back");
});

Deno.test("what is not whole pages is refused", () => {
  const fd = memoryFile("test", 2 * GRANULE);
  for (const [offset, size] of [[0, 0], [0, -GRANULE], [0, 4095], [1, GRANULE], [0, NaN]]) {
    assertThrows(() => mapShared(fd, offset!, size!), RangeError, "not whole pages");
  }
  close(fd);
});

Deno.test("a file that is none cannot be mapped", () => {
  const error = assertThrows(() => mapShared(9999, 0, GRANULE), OsError, "Cannot map 65536 bytes");
  assertEquals(error.code, "EBADF");
});

Deno.test("memory that cannot be had is an error", () => {
  assertThrows(() => memoryFile("x".repeat(300), GRANULE), OsError, "Cannot create shared memory");
  assertThrows(() => memoryFile("test", -1), OsError, "Cannot size shared memory");
});

Deno.test("mapShared gives an address with the alignment that is wanted", () => {
  const ALIGNMENT = 2 ** 21;
  const fd = memoryFile("aligned", ALIGNMENT);
  for (let i = 0; i < 5; i++) {
    const bytes = new Uint8Array(mapShared(fd, 0, ALIGNMENT, ALIGNMENT));
    const pointer = Deno.UnsafePointer.of(bytes as unknown as BufferSource);
    assertEquals(Number(BigInt(Deno.UnsafePointer.value(pointer)) % BigInt(ALIGNMENT)), 0);
    bytes[ALIGNMENT - 1]!++;
    assertEquals(bytes[ALIGNMENT - 1], i + 1);
  }
  close(fd);
});

Deno.test("hugeMemoryFile gives pages that are there, or says that there are none", () => {
  try {
    close(hugeMemoryFile("huge", HUGE_PAGE));
  } catch (error) {
    assertMatch((error as Error).message, /^Cannot have 1 huge pages: (ENOMEM|ENOSPC)/);
  }
});
