import { assert, assertEquals, assertThrows } from "@std/assert";
import { descriptors as ours } from "../../tests/support/leaks.ts";
import { close, duplicate, eventfd, pipe } from "./fd.ts";
import { identityOfOpen, Seal, sealsOf } from "./file_kind.ts";
import { openForeign, UnfitMemory } from "./foreign_memory.ts";
import { libc } from "./libc.ts";
import { GRANULE, HUGE_PAGE, hugeMemoryFile, memoryFile, MOST_SHARED } from "./memory.ts";

// Opened once for the whole process, so not by a test.
libc();

function outside(fd: number): Deno.FsFile {
  return Deno.openSync(`/proc/self/fd/${fd}`, { read: true, write: true });
}

function byte(file: Deno.FsFile, at: number): number {
  const bytes = new Uint8Array(1);
  file.seekSync(at, Deno.SeekMode.Start);
  file.readSync(bytes);
  return bytes[0]!;
}

Deno.test("a memory file of any size has a place, and is itself by each of its names", () => {
  for (const size of [1, 4095, 4096, 4097, GRANULE, GRANULE + 4096, 3 * GRANULE]) {
    const fd = memoryFile("guest", size);
    using file = outside(fd);
    const twin = duplicate(fd);
    const other = memoryFile("guest", size);
    const mapped = openForeign(fd);
    assertEquals([mapped.size, mapped.id], [size, identityOfOpen(twin).id]);
    assert(mapped.id !== identityOfOpen(other).id);
    [fd, twin, other].forEach(close);
    mapped.show(0, Math.ceil(size / 4096) * 4096);
    const memory = new Uint8Array(mapped.memory);
    assert(memory.length >= size && memory.length % GRANULE === 0);
    // All of it can be touched.
    memory.fill(5);
    assertEquals(byte(file, size - 1), 5);
    mapped.release();
    memory.fill(6);
    assertEquals(byte(file, size - 1), 5);
    mapped.release();
  }
});

Deno.test("of a memory file, what is shown is the file's, and what is hidden no more", () => {
  const fd = memoryFile("guest", 8 * 4096);
  using file = outside(fd);
  const before = ours().length;
  const mapped = openForeign(fd);
  const memory = new Uint8Array(mapped.memory);
  memory.fill(1);
  assertEquals(byte(file, 4096), 0);
  mapped.show(4096, 3 * 4096);
  assertEquals([memory[4095], memory[4096], memory[4 * 4096]], [1, 0, 1]);
  memory.fill(2);
  assertEquals([0, 1, 2, 3, 4].map((page) => byte(file, page * 4096)), [0, 2, 2, 2, 0]);
  mapped.hide(2 * 4096, 4096);
  assertEquals([memory[2 * 4096 - 1], memory[2 * 4096], memory[3 * 4096]], [2, 0, 2]);
  memory.fill(3);
  assertEquals([1, 2, 3].map((page) => byte(file, page * 4096)), [3, 2, 3]);
  for (
    const [offset, size] of [[0, 0], [1, 4096], [0, 1], [-4096, 4096], [7 * 4096, 8192], [
      NaN,
      4096,
    ]]
  ) {
    assertThrows(() => mapped.show(offset!, size!), UnfitMemory, "not whole pages");
    assertThrows(() => mapped.hide(offset!, size!), UnfitMemory, "not whole pages");
  }
  mapped.release();
  mapped.show(0, 4096);
  memory.fill(4);
  assertEquals([0, 1, 3].map((page) => byte(file, page * 4096)), [0, 3, 3]);
  assertEquals(ours().length, before);
  close(fd);
});

Deno.test("what could harm is not mapped, and the sentence says what to do", () => {
  const path = Deno.makeTempFileSync();
  Deno.writeTextFileSync(path, "x".repeat(8192));
  using plain = Deno.openSync(path, { read: true, write: true });
  void plain;
  const unsealed = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
    .find((fd) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${fd}`) === path;
      } catch {
        return false;
      }
    })!;
  assertThrows(() => openForeign(unsealed), UnfitMemory, "memory-backend-memfd,share=on");
  assertEquals(sealsOf(unsealed), 0);
  const [from, into] = pipe();
  assertThrows(() => openForeign(from), UnfitMemory, "The memory is a named pipe");
  const event = eventfd();
  assertThrows(() => openForeign(event), UnfitMemory);
  const empty = memoryFile("guest", 0);
  assertThrows(() => openForeign(empty), UnfitMemory, "without a byte");
  const large = memoryFile("guest", MOST_SHARED + 4096);
  assert(sealsOf(large) & Seal.SHRINK);
  assertThrows(() => openForeign(large), UnfitMemory, "give the guest less");
  [from, into, event, empty, large].forEach(close);
  Deno.removeSync(path);
});

Deno.test("four gigabytes are mapped", () => {
  const fd = memoryFile("guest", 2 ** 32);
  using file = outside(fd);
  const mapped = openForeign(fd);
  close(fd);
  mapped.show(0, 2 ** 32);
  new Uint8Array(mapped.memory)[2 ** 32 - 1] = 9;
  assertEquals(byte(file, 2 ** 32 - 1), 9);
  mapped.release();
});

Deno.test("a file of huge pages is mapped where the machine has some", () => {
  let fd: number;
  try {
    fd = hugeMemoryFile("huge", HUGE_PAGE);
  } catch (error) {
    console.log(`skipped: ${(error as Error).message}`);
    return;
  }
  const mapped = openForeign(fd);
  close(fd);
  mapped.show(0, HUGE_PAGE);
  new Uint8Array(mapped.memory)[HUGE_PAGE - 1] = 1;
  mapped.release();
});
