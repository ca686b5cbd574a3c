import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, duplicate, eventfd, pipe } from "./fd.ts";
import { identityOfOpen, Seal, sealsOf } from "./file_kind.ts";
import { mapForeign, UnfitMemory } from "./foreign_memory.ts";
import { libc } from "./libc.ts";
import { GRANULE, HUGE_PAGE, hugeMemoryFile, memoryFile } from "./memory.ts";

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

Deno.test("a memory file is mapped whole, whatever its size, and is itself by each of its names", () => {
  for (const size of [1, 4095, 4096, 4097, GRANULE, GRANULE + 4096, 3 * GRANULE]) {
    const fd = memoryFile("guest", size);
    using file = outside(fd);
    const twin = duplicate(fd);
    const other = memoryFile("guest", size);
    const mapped = mapForeign(fd);
    assertEquals([mapped.size, mapped.id], [size, identityOfOpen(twin).id]);
    assert(mapped.id !== identityOfOpen(other).id);
    [fd, twin, other].forEach(close);
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
  assertThrows(() => mapForeign(unsealed), UnfitMemory, "memory-backend-memfd,share=on");
  assertEquals(sealsOf(unsealed), 0);
  const [from, into] = pipe();
  assertThrows(() => mapForeign(from), UnfitMemory, "The memory is a named pipe");
  const event = eventfd();
  assertThrows(() => mapForeign(event), UnfitMemory);
  const empty = memoryFile("guest", 0);
  assertThrows(() => mapForeign(empty), UnfitMemory, "without a byte");
  const large = memoryFile("guest", 2 ** 32 + 4096);
  assert(sealsOf(large) & Seal.SHRINK);
  assertThrows(() => mapForeign(large), UnfitMemory, "give the guest less");
  [from, into, event, empty, large].forEach(close);
  Deno.removeSync(path);
});

Deno.test("four gigabytes are mapped", () => {
  const fd = memoryFile("guest", 2 ** 32);
  using file = outside(fd);
  const mapped = mapForeign(fd);
  close(fd);
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
  const mapped = mapForeign(fd);
  close(fd);
  new Uint8Array(mapped.memory)[HUGE_PAGE - 1] = 1;
  mapped.release();
});
