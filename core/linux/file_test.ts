import { assert, assertEquals, assertThrows } from "@std/assert";
import { close, pipe, read, writeAll } from "./fd.ts";
import {
  absolutePath,
  environment,
  exists,
  findProgram,
  isClaimed,
  open,
  openAlone,
  openFile,
  readAt,
  readFile,
  readFolder,
  readLink,
  readText,
  realPath,
  sizeOf,
  sync,
  writeAt,
  writeText,
} from "./file.ts";
import { cString, libc } from "./libc.ts";
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

Deno.test("openFile() makes, keeps or empties a file, as it is told", () => {
  withFolder((folder) => {
    const path = `${folder}/file`;
    const error = assertThrows(
      () => openFile(path, { read: true }),
      OsError,
      `Cannot open ${path}`,
    );
    assertEquals(error.code, "ENOENT");
    const fd = openFile(path, { write: true, create: "new" });
    writeAll(fd, new TextEncoder().encode("abcdef"));
    close(fd);
    const again = () => openFile(path, { write: true, create: "new" });
    assertEquals(assertThrows(again, OsError).code, "EEXIST");
    close(openFile(path, { read: true, write: true, create: true }));
    assertEquals(Deno.readTextFileSync(path), "abcdef");
    close(openFile(path, { write: true, create: true, truncate: true }));
    assertEquals(Deno.readTextFileSync(path), "");
    const reader = openFile(path, { read: true });
    const write = () => writeAt(reader, new Uint8Array(1), 0);
    assertEquals(assertThrows(write, OsError, "Cannot write at 0 of /").code, "EBADF");
    close(reader);
  });
});

Deno.test("readAt() and writeAt() reach any place of a file, also behind 4 GiB", () => {
  withFolder((folder) => {
    const fd = openFile(`${folder}/file`, { read: true, write: true, create: true });
    const far = 5 * 2 ** 30 + 3;
    writeAt(fd, Uint8Array.of(1, 2, 3, 4), far);
    writeAt(fd, Uint8Array.of(9), 2);
    sync(fd);
    assertEquals(sizeOf(fd), far + 4);
    const into = new Uint8Array(6);
    assertEquals([readAt(fd, into, far - 2), ...into], [6, 0, 0, 1, 2, 3, 4]);
    assertEquals([readAt(fd, into, far + 1), ...into.subarray(0, 3)], [3, 2, 3, 4]);
    assertEquals(readAt(fd, into, far + 4), 0);
    assertEquals([readAt(fd, into, 0), into[2]], [6, 9]);
    close(fd);
  });
});

Deno.test("sizeOf() leaves the place of the next read alone, and a pipe has no size", () => {
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "abc");
    const fd = openFile(`${folder}/file`, { read: true });
    const into = new Uint8Array(1);
    read(fd, into);
    assertEquals(sizeOf(fd), 3);
    assertEquals([read(fd, into), into[0]], [1, 0x62]);
    close(fd);
  });
  const [from, into] = pipe();
  assertEquals(assertThrows(() => sizeOf(from), OsError, "size of a pipe").code, "ESPIPE");
  close(from);
  close(into);
});

Deno.test("openAlone: a file is had by one at a time", () => {
  withFolder((folder) => {
    const path = `${folder}/device`;
    Deno.writeTextFileSync(path, "");
    const first = openAlone(path);
    assertEquals(
      assertThrows(() => openAlone(path), OsError, `Cannot have ${path}`).code,
      "EAGAIN",
    );
    close(first);
    close(openAlone(path));
  });
});

Deno.test("writeText writes into what is there, and names what cannot be written", () => {
  withFolder((folder) => {
    const path = `${folder}/attribute`;
    Deno.writeTextFileSync(path, "before");
    writeText(path, "vfio-pci\n");
    assertEquals(Deno.readTextFileSync(path), "vfio-pci\n");
    assertThrows(() => writeText(`${folder}/other`, ""), OsError, "ENOENT");
    assertThrows(() => writeText("/dev/full", "text"), OsError, 'Cannot write "text" to /dev/full');
  });
});

Deno.test("realPath() follows all links, and says what leads nowhere", () => {
  const folder = Deno.realPathSync(Deno.makeTempDirSync());
  try {
    Deno.mkdirSync(`${folder}/ä b`);
    Deno.symlinkSync("ä b", `${folder}/link`);
    assertEquals(realPath(`${folder}/link/../link`), `${folder}/ä b`);
    assertThrows(() => realPath(`${folder}/nothing`), OsError, "ENOENT");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("isClaimed tells of a block device that is used alone, and of none that it cannot ask", async (t) => {
  assertEquals(isClaimed("/does/not/exist"), undefined);
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    assertEquals(isClaimed(`${folder}/file`), false);
  });
  const loop = "/dev/loop7", readAlone = 0o2000200;
  const fd = libc().open(cString(loop), readAlone, 0);
  if (fd < 0) console.log(`SKIPPED: a claimed block device, because ${loop} cannot be had alone`);
  await t.step({
    name: "a claimed block device",
    ignore: fd < 0,
    fn() {
      assertEquals(isClaimed(loop), true);
      close(fd);
      assertEquals(isClaimed(loop), false);
    },
  });
});

Deno.test("a path from this program's folder on is one from the root on", () => {
  assertEquals(absolutePath("/a/b"), "/a/b");
  assertEquals(absolutePath("a/b"), `${Deno.cwd()}/a/b`);
});
