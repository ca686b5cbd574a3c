import { assert, assertEquals } from "@std/assert";
import { withPages } from "./device_memory.ts";
import { close } from "./fd.ts";
import { libc } from "./libc.ts";
import { memoryFile } from "./memory.ts";
import { physicalRuns } from "./physical.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

Deno.test("physicalRuns covers the memory in whole pages, or says that only root may know", () => {
  const fd = memoryFile("pages", 65536);
  try {
    const runs = physicalRuns(fd, 4096, 32768);
    assertEquals(runs.reduce((sum, { length }) => sum + length, 0), 32768);
    assert(runs.every(({ address }) => address > 0 && address % 4096 === 0));
    // Each page is somewhere else.
    const pages = runs.flatMap(({ address, length }) =>
      Array.from({ length: length / 4096 }, (_, i) => address + 4096 * i)
    );
    assertEquals(new Set(pages).size, 8);
  } catch (error) {
    assert((error as Error).message.includes("run as root"), (error as Error).message);
  } finally {
    close(fd);
  }
});

Deno.test("withPages shows the address of what is mapped, for as long as it is used", () => {
  const fd = memoryFile("pages", 65536);
  const address = withPages(fd, 0, 65536, (address) => {
    assert(maps().includes(address.toString(16)));
    return address;
  });
  assert(!maps().some((start) => start === address.toString(16)));
  close(fd);
});

function maps(): string[] {
  const lines = Deno.readTextFileSync("/proc/self/maps").split("\n");
  return lines.map((line) => line.split("-")[0]!.replace(/^0+/, ""));
}
