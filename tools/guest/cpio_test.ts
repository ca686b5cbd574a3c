import { assertEquals } from "@std/assert";
import { cpio, file, link, program } from "./cpio.ts";

/** Names, modes and contents of an archive, by the offsets of the format's description. */
function read(archive: Uint8Array): [name: string, mode: string, content: string][] {
  const text = new TextDecoder("latin1").decode(archive);
  const found: [string, string, string][] = [];
  for (let at = 0; at < text.length;) {
    assertEquals(text.slice(at, at + 6), "070701");
    const field = (index: number) =>
      parseInt(text.slice(at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const [mode, bytes, nameBytes] = [field(1), field(6), field(11)];
    const name = text.slice(at + 110, at + 110 + nameBytes - 1);
    const begin = (at + 110 + nameBytes + 3) & ~3;
    found.push([name, mode.toString(8), text.slice(begin, begin + bytes)]);
    at = (begin + bytes + 3) & ~3;
  }
  return found;
}

Deno.test("cpio puts folders before what is in them, once, and aligns everything", () => {
  const chunks = [...cpio([
    program("bin/true", new TextEncoder().encode("12345")),
    link("bin/yes", "true"),
    file("a/b/c", new TextEncoder().encode("x")),
  ])];
  assertEquals(read(new Uint8Array(chunks.flatMap((chunk) => [...chunk]))), [
    ["bin", "40755", ""],
    ["bin/true", "100755", "12345"],
    ["bin/yes", "120777", "true"],
    ["a", "40755", ""],
    ["a/b", "40755", ""],
    ["a/b/c", "100644", "x"],
    ["TRAILER!!!", "0", ""],
  ]);
});
