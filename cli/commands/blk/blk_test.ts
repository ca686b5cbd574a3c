import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Input } from "../../io.ts";
import "../../../tests/support/libc.ts";
import { memoryDisk, runFake } from "../../fake_test.ts";

const SIMULATED = "--machine simulated";
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8));

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** A standard input with these bytes, in small pieces. */
function input(bytes: Uint8Array): Input {
  let at = 0;
  return {
    terminal: false,
    raw() {},
    read(into) {
      const piece = bytes.subarray(at, at + Math.min(into.length, 1000));
      into.set(piece);
      at += piece.length;
      return Promise.resolve(piece.length === 0 ? null : piece.length);
    },
  };
}

/** A folder that goes when the test ends. */
function folder(): Disposable & { readonly path: string } {
  const path = Deno.makeTempDirSync({ prefix: "virtio-blk-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

Deno.test("blk info tells what a disk is", async () => {
  const { exit, out } = await runFake(`blk info ${SIMULATED}`);
  assertEquals(exit, 0);
  assertMatch(
    out,
    /^address +0000:00:02\.0\ndriver +blk\nid +disk-1\ncapacity +8388608 bytes \(8 MiB\)\n/,
  );
  const { out: json } = await runFake(`blk info ${SIMULATED} --json`);
  assertEquals(JSON.parse(json).capacity, 8 << 20);
});

Deno.test("blk read writes a part of the disk to the standard output, or a file", async () => {
  const disk = memoryDisk();
  const part = pattern(3000).map((byte) => byte & 0x7f);
  disk.bytes.set(part, 4096);
  const { exit, out, err } = await runFake(
    `blk read --offset 4K --length 3000 ${SIMULATED}`,
    { disk },
  );
  assertEquals(exit, 0);
  assertEquals(Uint8Array.from(out, (letter) => letter.charCodeAt(0)), part);
  assertStringIncludes(err, await sha256(part));
  using where = folder();
  const file = await runFake(`blk read ${where.path}/all ${SIMULATED} --json`, { disk });
  assertEquals(JSON.parse(file.out).sha256, await sha256(disk.bytes));
  assertEquals(Deno.readFileSync(`${where.path}/all`).length, 8 << 20);
});

Deno.test("blk read does not print bytes to a terminal, nor what is not there", async () => {
  const terminal = await runFake(`blk read ${SIMULATED}`, { terminal: true });
  assertEquals(terminal.exit, 2);
  assertStringIncludes(terminal.err, "name a file");
  for (const part of ["--offset 9M", "--length 9M", "--offset 8M --length 1", "--offset -1"]) {
    const { exit, err } = await runFake(`blk read ${part} ${SIMULATED}`);
    assertEquals(exit, 2, err);
  }
});

Deno.test("blk write takes the standard input, and leaves the rest of a sector alone", async () => {
  const disk = memoryDisk();
  disk.bytes.fill(9);
  const bytes = pattern(70_001);
  const { exit, err } = await runFake(`blk write --offset 1K ${SIMULATED}`, {
    disk,
    input: input(bytes),
  });
  assertEquals([exit, disk.flushes], [0, 1], err);
  assertEquals(disk.bytes.slice(1024, 1024 + 70_001), bytes);
  assertEquals([disk.bytes[1023], disk.bytes[1024 + 70_001]], [9, 9]);
  assertStringIncludes(err, await sha256(bytes));
});

Deno.test("blk write refuses what does not fit before it writes anything", async () => {
  using where = folder();
  Deno.writeFileSync(`${where.path}/large`, new Uint8Array(9 << 20));
  const disk = memoryDisk();
  const { exit, err } = await runFake(`blk write ${where.path}/large ${SIMULATED}`, { disk });
  assertEquals([exit, disk.writes], [1, 0]);
  assertStringIncludes(err, "Nothing was written");
  const none = await runFake(`blk write /does/not/exist ${SIMULATED}`, { disk });
  assertEquals(none.exit, 1);
  assertStringIncludes(none.err, "Cannot read /does/not/exist: there is no such file");
});

Deno.test("disks of this machine are not written without --write, and read-only ones never", async () => {
  using where = folder();
  Deno.writeFileSync(`${where.path}/file`, new Uint8Array(512));
  const lines = [
    `blk write ${where.path}/file`,
    `blk copy ${where.path}/file disk`,
    "blk discard --offset 0 --length 512",
    "blk bench --rw write",
  ];
  for (const line of lines) {
    const disk = memoryDisk();
    const { exit, err } = await runFake(`${line} --machine local`, { disk, refusal: "" });
    assertEquals([exit, disk.writes], [4, 0], line);
    assertStringIncludes(err, "add --write");
    const readOnly = { ...memoryDisk(), readOnly: true };
    const refused = await runFake(`${line} ${SIMULATED}`, { disk: readOnly });
    assertEquals(refused.exit, 4, line);
    assertStringIncludes(refused.err, "read-only");
  }
  const disk = memoryDisk();
  const line = `blk write ${where.path}/file --machine local --write`;
  assertEquals((await runFake(line, { disk, refusal: "" })).exit, 0);
  assertEquals(disk.writes, 1);
});

Deno.test("blk copy makes a backup and brings it back, and compares", async () => {
  using where = folder();
  const disk = memoryDisk();
  disk.bytes.set(pattern(100_000), 5000);
  const before = disk.bytes.slice();
  const backup = await runFake(`blk copy disk ${where.path}/copy ${SIMULATED} --json`, { disk });
  const { verified, sha256: sum, bytes } = JSON.parse(backup.out);
  assertEquals([verified, sum, bytes], [true, await sha256(before), 8 << 20]);
  disk.bytes.fill(1);
  const { exit, err } = await runFake(`blk copy ${where.path}/copy disk ${SIMULATED}`, { disk });
  assertEquals(exit, 0, err);
  assertStringIncludes(err, "read back and compared");
  assertEquals(disk.bytes, before);
});

Deno.test("blk copy finds a disk that loses a write", async () => {
  using where = folder();
  Deno.writeFileSync(`${where.path}/image`, pattern(4 << 20));
  const disk = memoryDisk();
  const { write } = disk;
  let count = 0;
  disk.write = (...request) => ++count === 2 ? Promise.resolve() : write.apply(disk, request);
  const { exit, err } = await runFake(`blk copy ${where.path}/image disk ${SIMULATED}`, { disk });
  assertEquals(exit, 1);
  assertMatch(err, /is not what was read from .*: its sha256 is [0-9a-f]{64}, not [0-9a-f]{64}/);
  for (const words of ["disk disk", "a b", "disk"]) {
    assertEquals((await runFake(`blk copy ${words} ${SIMULATED}`)).exit, 2);
  }
});

Deno.test("blk copy ends with the disk's error, and shows a bar on a terminal", async () => {
  using where = folder();
  const disk = memoryDisk();
  disk.readInto = () => Promise.reject(new Error("the medium is worn out"));
  const { exit, err } = await runFake(`blk copy disk ${where.path}/x ${SIMULATED}`, { disk });
  assertEquals([exit, err], [1, "error: the medium is worn out"]);
  let drawn = "";
  const side = { columns: 80, draw: (text: string) => void (drawn += text) };
  await runFake(`blk copy disk ${where.path}/y ${SIMULATED}`, { side });
  assertMatch(drawn, /Copying +\d+% \[#* *\] .*\/s/);
  drawn = "";
  await runFake(`blk copy disk ${where.path}/y ${SIMULATED} --quiet`, { side });
  assertEquals(drawn, "");
});

Deno.test("blk discard needs to be told what, and how", async () => {
  const disk = memoryDisk();
  const line = `blk discard --offset 512 --length 1K ${SIMULATED}`;
  assertEquals((await runFake(line, { disk })).exit, 0);
  assertEquals([disk.bytes[511], disk.bytes[512], disk.bytes[1536]], [0, 0xdd, 0]);
  assertEquals((await runFake(`${line} --zero`, { disk })).exit, 0);
  assertEquals([disk.bytes[512], disk.flushes], [0, 2]);
  for (const wrong of ["blk discard", "blk discard --offset 0", `${line} --zero --secure`]) {
    assertEquals((await runFake(`${wrong} ${SIMULATED}`, { disk })).exit, 2);
  }
});

Deno.test("blk bench reads and writes, and speaks fio's JSON", async () => {
  const { exit, out } = await runFake(
    `blk bench --rw randwrite --bs 8K --iodepth 2 --runtime 0.05 ${SIMULATED} --json`,
  );
  assertEquals(exit, 0);
  const [{ read, write, error }] = JSON.parse(out).jobs;
  assertEquals([read.total_ios, error], [0, 0]);
  assertEquals(write.io_bytes, write.total_ios * 8192);
  assert(write.iops > 0 && write.clat_ns.percentile["99.000000"] >= write.clat_ns.min);
  const text = await runFake(`blk bench --runtime 0.05 ${SIMULATED}`);
  assertMatch(text.out, /^randread: \d+ requests\/s, .*\/s; latency in µs: 50 % /);
  for (
    const wrong of [
      "--rw trim",
      "--rw toString",
      "--bs 100",
      "--bs 1G",
      "--iodepth 0",
      "--runtime x",
    ]
  ) {
    assertEquals((await runFake(`blk bench ${wrong} ${SIMULATED}`)).exit, 2, wrong);
  }
});

Deno.test("blk bench fails when requests do", async () => {
  const disk = memoryDisk();
  disk.readInto = () => Promise.reject(new Error("bad"));
  const { exit, out } = await runFake(`blk bench --runtime 0.05 ${SIMULATED}`, { disk });
  assertEquals(exit, 1);
  assertStringIncludes(out, "requests FAILED");
});

Deno.test("blk serve needs a socket, and there must be room for it", async () => {
  assertEquals((await runFake(`blk serve ${SIMULATED}`)).exit, 2);
  const { exit, err } = await runFake(`blk serve --nbd /does/not/exist/socket ${SIMULATED}`);
  assertEquals(exit, 1);
  assertStringIncludes(err, "Cannot listen at /does/not/exist/socket: ENOENT");
  const long = await runFake(`blk serve --nbd /${"x".repeat(108)} ${SIMULATED}`);
  assertEquals(long.exit, 2);
  assertStringIncludes(long.err, "a socket's path has at most 107 bytes");
  using where = folder();
  Deno.writeTextFileSync(`${where.path}/taken`, "mine");
  const taken = await runFake(`blk serve --nbd ${where.path}/taken ${SIMULATED}`);
  assertEquals(taken.exit, 1);
  assertStringIncludes(taken.err, `Cannot listen at ${where.path}/taken: it is a file, which is`);
  assertEquals(Deno.readTextFileSync(`${where.path}/taken`), "mine");
});

Deno.test("--lun is for SCSI adapters", async () => {
  const wrong = await runFake(`blk info --lun x ${SIMULATED}`);
  assertEquals(wrong.exit, 2);
  const { exit, err } = await runFake(`blk info --lun 0:1 ${SIMULATED}`);
  assertEquals(exit, 3);
  assertStringIncludes(err, "Cannot find a device of class scsi");
});
