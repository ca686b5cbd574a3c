import { SCHEMA } from "../../json.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ScsiModel } from "@virtio/scsi/model";
import { DRIVERS } from "../../../drivers.ts";
import { openKernel } from "../../../mod.ts";
import "../../../tests/support/libc.ts";
import { type Ran, runFake } from "../../fake_test.ts";

const MIB = 2 ** 20;

/** Runs a command line on a simulated machine with a disk and a CD-ROM. */
function run(line: string, terminal = false): Promise<Ran> {
  const model = new ScsiModel({
    units: [
      { capacity: MIB, serial: "DISK" },
      { target: 1, lun: 2, type: "cdrom", capacity: MIB },
    ],
  });
  return runFake(`scsi ${line}`, {
    terminal,
    openKernel: () =>
      openKernel({ machine: "simulated", devices: [model], drivers: DRIVERS, isolation: "inline" }),
  });
}

Deno.test("scsi list prints a line for each unit", async () => {
  const { exit, out, err } = await run("list");
  assertEquals([exit, err], [0, ""]);
  const [disk, cdrom, ...others] = out.split("\n");
  assertMatch(
    disk!,
    /^0:0 +disk +VIRTIO +Simulated disk +1 +1048576 bytes in blocks of 512 "DISK"$/,
  );
  assertMatch(cdrom!, /^1:2 +cdrom +VIRTIO .* 1048576 bytes in blocks of 2048, read-only/);
  assertEquals(others, []);
});

Deno.test("scsi list --json says the same to programs", async () => {
  const { out } = await run("list --json");
  const { schema, command, device, units } = JSON.parse(out);
  assertEquals([schema, command, device.address], [SCHEMA, "scsi list", "0000:00:01.0"]);
  const [{ target, lun, typeName, capacity, readOnly, error }] = units.slice(1);
  assertEquals([target, lun, typeName, capacity], [1, 2, "cdrom", MIB]);
  assertEquals([readOnly, error], [true, null]);
});

Deno.test("scsi inquiry tells what a unit is, and which pages it has", async () => {
  const { exit, out } = await run("inquiry 1:2");
  assertEquals(exit, 0);
  assertMatch(out, /^type +cdrom \(5\)$/m);
  assertMatch(out, /^removable +yes$/m);
  assertMatch(out, /^page 83 +device identification$/m);
});

Deno.test("scsi inquiry --vpd tells a page in words and in bytes", async () => {
  const { exit, out } = await run("inquiry --vpd 80");
  assertEquals(exit, 0);
  assertMatch(out, /^serial +DISK$/m);
  assertMatch(out, /^00000000 {2}44 49 53 4b .*\|DISK\|$/m);
  const json = JSON.parse((await run("inquiry 0:0 --vpd 0x80 --json")).out);
  assertEquals([json.page, json.bytes, json.facts], [0x80, "4449534b", { serial: "DISK" }]);
});

Deno.test("scsi raw gives the data, and talks on the side", async () => {
  const { exit, out, err } = await run("raw 12 00 00 00 24 00 --in 36");
  assertEquals([exit, out.length], [0, 36]);
  assertStringIncludes(out, "VIRTIO  Simulated disk");
  assertEquals(err, "0:0: good, 36 bytes read, 0 left over");
  const dump = await run("raw 120000002400 --in 36 --lun 1:2", true);
  assertMatch(dump.out, /^00000000 {2}05 80 .*\|\.+VIRTIO {2}\|$/m);
});

Deno.test("scsi raw says why a unit refuses, and exits with 1", async () => {
  const { exit, err } = await run("raw ff");
  assertEquals(exit, 1);
  assertStringIncludes(err, "illegal request: invalid command operation code (5/20/00)");
  const json = JSON.parse((await run("raw 28000000000000000200 --in 512 --json")).out);
  assertEquals([json.response, json.error.exit], [1, 1]);
});

Deno.test("scsi raw sends what stands in a file", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeFile(file, new Uint8Array(512));
    const { exit, err } = await run(`raw 2a000000000000000100 --out ${file}`);
    assertEquals([exit, err], [0, "0:0: good, 0 bytes read, 0 left over"]);
    await Deno.truncate(file, 65537);
    const large = await run(`raw 2a000000000000000100 --out ${file}`);
    assertEquals(large.exit, 2);
    assertStringIncludes(
      large.err,
      "it has more than the 65536 bytes that go along with a command",
    );
  } finally {
    await Deno.remove(file);
  }
});

/** Wrong command lines, the exit status, and what is said. */
const WRONG = [
  ["inquiry 9:0", 3, "there is no such unit"],
  ["inquiry x", 2, "wanted target:lun"],
  ["inquiry --vpd 1234", 2, "wanted two hexadecimal digits"],
  ["inquiry --vpd d0", 3, "it has none"],
  ["raw 1", 2, "wanted pairs of hexadecimal digits"],
  ["raw 00 --in much", 2, "wanted a number of bytes"],
  ["raw 00 --lun 300:0", 2, "targets up to 255"],
  ["raw 12000000ff00 --in 70000", 1, "65536 are possible"],
  ["raw 00 --out /nonexistent", 1, "Cannot read /nonexistent: there is no such file"],
  ["list more", 2, "takes no arguments"],
  ["eject", 2, "What scsi takes is list, inquiry, raw"],
] as const;

for (const [line, status, says] of WRONG) {
  Deno.test(`scsi ${line}: exit ${status}`, async () => {
    const { exit, out, err } = await run(line);
    assertEquals([exit, out], [status, ""], err);
    assertStringIncludes(err, says);
  });
}
