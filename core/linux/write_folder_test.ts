import { assertEquals, assertThrows } from "@std/assert";
import { libc } from "./libc.ts";
import { writeFolder } from "./write_folder.ts";

libc(); // Open before the tests: it stays open, which would count as a leak of the first one.

Deno.test("writeFolder() fills a folder that is new or empty, and touches no other", () => {
  const root = Deno.makeTempDirSync();
  try {
    Deno.mkdirSync(`${root}/empty`);
    for (const name of ["new", "empty"]) {
      writeFolder(`${root}/${name}`, { a: "ä", b: "" });
      assertEquals(Deno.readTextFileSync(`${root}/${name}/a`), "ä");
      const again = () => writeFolder(`${root}/${name}`, { a: "other" });
      assertThrows(again, Error, "the folder is not empty, it has a, b");
    }
    assertEquals(Deno.readTextFileSync(`${root}/new/a`), "ä");
    assertThrows(() => writeFolder(`${root}/new/a`, {}), Error, "it is a file");
    assertThrows(() => writeFolder(`${root}/no/where`, {}), Error, "ENOENT");
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});
