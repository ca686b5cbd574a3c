import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, read } from "./fd.ts";
import {
  environment,
  exists,
  findProgram,
  open,
  readFile,
  readFolder,
  readLink,
  readText,
} from "./file.ts";
import { libc } from "./libc.ts";
import { OsError } from "./os_error.ts";

// Opened once for the whole process, so not by a test.
libc();

function withFolder(use: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    use(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("files of any size are read whole", () => {
  withFolder((folder) => {
    for (const size of [0, 1, 16383, 16384, 16385, 100_000]) {
      const bytes = new Uint8Array(size).map((_, i) => i * 7);
      Deno.writeFileSync(`${folder}/file`, bytes);
      assertEquals(readFile(`${folder}/file`), bytes);
    }
    Deno.writeTextFileSync(`${folder}/file`, "größe\n");
    assertEquals(readText(`${folder}/file`), "größe\n");
  });
});

Deno.test("files without a size are read, too", () => {
  assert(readText("/proc/self/status").startsWith("Name:"));
});

Deno.test("a file that never ends is not read for ever", () => {
  assertThrows(() => readFile("/dev/zero"), RangeError, "Cannot read /dev/zero: longer than");
});

Deno.test("what cannot be read is an OsError that names it", () => {
  assertEquals(
    assertThrows(() => readFile("/nonexistent"), OsError, "/nonexistent").code,
    "ENOENT",
  );
  assertEquals(assertThrows(() => readFile("/tmp"), OsError).code, "EISDIR");
  assertEquals(assertThrows(() => readFolder("/dev/null"), OsError).code, "ENOTDIR");
  assertThrows(() => readFolder("/nonexistent"), OsError, "Cannot list /nonexistent".slice(0, 6));
  assertThrows(() => open("/nonexistent", 2), OsError, "Cannot open /nonexistent: ENOENT");
});

Deno.test("no descriptor is left behind", () => {
  const count = () => readFolder("/proc/self/fd").length;
  const before = count();
  readFile("/proc/self/status");
  readFolder("/proc");
  assertThrows(() => readFile("/tmp"), OsError);
  assertThrows(() => readFile("/dev/zero"), RangeError);
  assertEquals(count(), before);
});

Deno.test("a folder's names are sorted, however many there are", () => {
  withFolder((folder) => {
    assertEquals(readFolder(folder), []);
    const names = Array.from({ length: 2000 }, (_, i) => `${i}-${"x".repeat(i % 40)}-é`);
    for (const name of names) Deno.writeTextFileSync(`${folder}/${name}`, "");
    assertEquals(readFolder(folder), names.toSorted());
  });
});

Deno.test("links are read, and what is none is not", () => {
  withFolder((folder) => {
    Deno.symlinkSync("../somewhere/else", `${folder}/link`);
    assertEquals(readLink(`${folder}/link`), "../somewhere/else");
    assertEquals(readLink(folder), undefined);
    assertEquals(readLink(`${folder}/none`), undefined);
    assertEquals([exists(folder), exists(`${folder}/none`)], [true, false]);
  });
  assertEquals(readLink("/proc/self/exe"), Deno.execPath());
});

Deno.test("programs are found as a shell finds them", () => {
  assertEquals(findProgram("/bin/sh"), "/bin/sh");
  assertEquals(findProgram("/etc/passwd"), undefined);
  assert(exists(findProgram("sh")!));
  assertEquals(findProgram("no-such-program-anywhere"), undefined);
});

Deno.test("the environment is that of this process", () => {
  const own = environment();
  assertEquals(own.PATH, Deno.env.get("PATH"));
  assertEquals(own.HOME, Deno.env.get("HOME"));
});

Deno.test("a file is opened for what it was asked for", () => {
  const fd = open("/dev/null", 0);
  assertEquals(read(fd, new Uint8Array(1)), 0);
  close(fd);
});
