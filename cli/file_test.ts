// Files of each kind as arguments: they work, or one sentence names them, with a status that is documented.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { libc } from "../core/linux/libc.ts";
import { CliError } from "./exit.ts";
import { memoryDisk, runFake } from "./fake_test.ts";
import { UserFile } from "./file.ts";

// Opened once for the whole process, so not by a test.
libc();

const SIMULATED = "--machine simulated";

/** A folder with one of each kind: folder, named pipe, socket. */
async function zoo(use: (path: string) => Promise<void>): Promise<void> {
  const path = Deno.makeTempDirSync({ prefix: "virtio-files-" });
  try {
    Deno.mkdirSync(`${path}/folder`);
    const made = await new Deno.Command("mkfifo", { args: [`${path}/pipe`] }).output();
    assert(made.success);
    using _socket = Deno.listen({ transport: "unix", path: `${path}/socket` });
    await use(path);
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
}

/** Command lines with a file, which they read or write. */
const READING = [
  `blk write FILE ${SIMULATED}`,
  `blk copy FILE disk ${SIMULATED}`,
];
const WRITING = [
  `blk read FILE ${SIMULATED}`,
  `blk copy disk FILE ${SIMULATED}`,
];

Deno.test("a folder, a socket, or nothing instead of a file: one sentence, exit 1 #cli:file_errors", async () => {
  await zoo(async (path) => {
    const cases = [
      ...READING.flatMap((line) => [
        [line, "folder", `Cannot read ${path}/folder: it is a folder`],
        [line, "socket", `Cannot read ${path}/socket: it is a socket`],
        [line, "none", `Cannot read ${path}/none: there is no such file`],
      ]),
      ...WRITING.flatMap((line) => [
        [line, "folder", `Cannot write ${path}/folder: it is a folder`],
        [line, "socket", `Cannot write ${path}/socket: it is a socket`],
        [line, "none/file", `Cannot open ${path}/none/file: ENOENT (No such file or directory)`],
      ]),
      ["blk copy disk FILE " + SIMULATED, "pipe", `Cannot write ${path}/pipe: it is a named pipe`],
    ] as const;
    for (const [line, name, says] of cases) {
      const disk = memoryDisk();
      const { exit, err } = await runFake(line!.replace("FILE", `${path}/${name}`), { disk });
      assertEquals([exit, disk.writes], [1, 0], line);
      const [error, ...more] = err.split("\n");
      assert(error!.startsWith(`error: ${says}`), `${line}: ${err}`);
      assertEquals(more, []);
    }
  });
});

Deno.test("a disk that is full, and what is no place for a copy: named, and exit 1 #cli:file_errors", async () => {
  const full = await runFake(`blk read /dev/full ${SIMULATED}`, { disk: memoryDisk() });
  assertEquals(
    [full.exit, full.err],
    [1, "error: Cannot write to /dev/full: ENOSPC (No space left on device)"],
  );
  for (const path of ["/dev/full", "/dev/null"]) {
    const { exit, err } = await runFake(`blk copy disk ${path} ${SIMULATED}`, {
      disk: memoryDisk(),
    });
    assertEquals(exit, 1);
    assertMatch(err, new RegExp(`^error: Cannot write ${path}: it is a character device`));
  }
  assertEquals((await runFake(`blk read /dev/null ${SIMULATED}`, { disk: memoryDisk() })).exit, 0);
});

Deno.test("what cannot be read or written for want of a permission is exit 5 #cli:file_errors", async () => {
  // root may do everything, but not this.
  const { exit, err } = await runFake(`blk read /proc/sys/kernel/osrelease ${SIMULATED}`, {
    disk: memoryDisk(),
  });
  assertEquals(exit, 5);
  assertMatch(err, /^error: Cannot open \/proc\/sys\/kernel\/osrelease: E(ACCES|PERM)/);
});

Deno.test("a named pipe is read to its end, however late its writer comes #cli:file_errors", async () => {
  await zoo(async (path) => {
    const disk = memoryDisk();
    const running = runFake(`blk write ${path}/pipe ${SIMULATED}`, { disk });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await Deno.writeFile(`${path}/pipe`, bytes);
    assertEquals((await running).exit, 0);
    assertEquals(disk.bytes.subarray(0, bytes.length), bytes);
  });
});

Deno.test("a named pipe is written as soon as it has a reader #cli:file_errors", async () => {
  await zoo(async (path) => {
    const disk = memoryDisk();
    crypto.getRandomValues(disk.bytes.subarray(0, 60_000));
    const running = runFake(`blk read ${path}/pipe ${SIMULATED}`, { disk });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const bytes = await Deno.readFile(`${path}/pipe`);
    assertEquals((await running).exit, 0);
    assertEquals(bytes, disk.bytes);
  });
});

Deno.test("a named pipe without another side keeps no command from its end #cli:file_errors", async () => {
  await zoo(async (path) => {
    for (const line of ["write", "read"]) {
      const { exit } = await runFake(`blk ${line} ${path}/pipe ${SIMULATED} --timeout 0.3`, {
        disk: memoryDisk(),
      });
      assertEquals(exit, 124);
    }
  });
});

Deno.test("a stream that is longer than the disk is an error that says so #cli:file_errors", async () => {
  const { exit, err } = await runFake(`blk write /dev/zero ${SIMULATED}`, { disk: memoryDisk() });
  assertEquals([exit, err.split("\n").length], [1, 1]);
  assertMatch(err, /Cannot write behind the end of the disk at 8388608/);
});

Deno.test("UserFile.open opens nothing when the command is over already", async () => {
  const over = { signal: AbortSignal.abort(new CliError(130, "Ended by SIGINT")) };
  await assertRejects(() => UserFile.open(over, "/dev/null", "read"), CliError, "SIGINT");
});
