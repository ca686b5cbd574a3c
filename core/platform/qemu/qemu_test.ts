import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { clear, writeAll } from "../../linux/fd.ts";
import { exists, readFolder } from "../../linux/file.ts";
import { mapShared } from "../../linux/memory.ts";
import { poll, POLLIN } from "../../linux/poll.ts";
import { sendNow } from "../../linux/socket.ts";
import { sizeBars } from "../../pci/bars.ts";
import type { OpenFunction, PciFunction } from "../../pci/function.ts";
import type { Platform } from "../platform.ts";
import { openQemu, QemuGone, QmpError } from "./mod.ts";
import { testWith, withoutPrograms } from "../../../tests/support/needs.ts";
import { written } from "../written_test.ts";
import { patience } from "../../../tests/support/patience.ts";

function test(name: string, run: () => Promise<void>): void {
  testWith(withoutPrograms("qemu-system-x86_64"), name, run);
}

const BLK = [
  ...["-blockdev", "driver=null-co,size=1073741824,read-zeroes=on,node-name=n0"],
  ...["-device", "virtio-blk-pci,drive=n0,disable-legacy=on"],
];
const RNG = ["-device", "virtio-rng-pci,disable-legacy=on"];
const RNG_BEHIND_PORT = [
  ...["-device", "pcie-root-port,id=rp0,chassis=1"],
  ...["-device", "virtio-rng-pci,bus=rp0"],
];
const RNG_BEHIND_BRIDGE = [
  ...["-device", "pci-bridge,id=bridge,chassis_nr=1"],
  ...["-device", "virtio-rng-pci,bus=bridge,disable-legacy=on"],
];

const BLK_ID = 0x1042;
const RNG_ID = 0x1044;

function find(platform: Platform, device: number): PciFunction {
  const found = platform.functions.find(({ config }) =>
    config.read16(0) === 0x1af4 && config.read16(2) === device
  );
  assert(found, `there is no device ${device.toString(16)}`);
  return found;
}

function list(platform: Platform): string[] {
  return platform.functions.map(({ address, config }) =>
    [address, config.read16(0), config.read16(2)].map((id) => id.toString(16)).join(" ")
  );
}

// The virtio registers of QEMU's devices, all in BAR 4.
const CONFIG_VECTOR = 0x10, NUM_QUEUES = 0x12, STATUS = 0x14;
const NOTIFY = 0x3000;

/** Fills 32 bytes at 0x8000 of `memory` by a rng device, through a virtqueue of one descriptor made by hand. */
function askForRandomBytes(rng: OpenFunction) {
  const memory = rng.dma(65536);
  const words = new Uint32Array(mapShared(memory.fd, memory.offset, memory.size));
  const { address } = memory.runs[0]!;
  const [eventfd, second] = rng.vectors(2);
  const common = rng.bar(4)!;
  const features = 0x08, queueSize = 0x18, queueVector = 0x1a, enable = 0x1c, descriptors = 0x20;
  common.write8(STATUS, 0);
  common.write8(STATUS, 3);
  common.write32(features, 1);
  common.write32(features + 4, 1); // VERSION_1
  common.write8(STATUS, 0xb);
  common.write16(CONFIG_VECTOR, 1);
  common.write16(queueVector, 0);
  assertEquals(common.read16(queueVector), 0);
  const size = common.read16(queueSize);
  [0, 0x1000, 0x2000].forEach((offset, i) => {
    common.write32(descriptors + 8 * i, address + offset);
    common.write32(descriptors + 8 * i + 4, 0);
  });
  common.write16(enable, 1);
  common.write8(STATUS, 0xf);
  assertEquals(common.read8(STATUS), 0xf);
  words.set([address + 0x8000, 0, 32, 2], 0); // one writable descriptor
  words.set([1 << 16, 0], 0x1000 / 4); // available index 1: descriptor 0
  return {
    size,
    eventfd: eventfd!,
    second: second!,
    doorbell: rng.doorbell(4, NOTIFY, 0, 2),
    usedIndex: () => Atomics.load(words, 0x2000 / 4) >>> 16,
    random: () => words.slice(0x8000 / 4, 0x8020 / 4),
    memory,
  };
}

function signalled(fd: number, milliseconds: number): boolean {
  return poll(new Int32Array([fd, POLLIN]), 1, milliseconds) > 0;
}

async function endsSoon(pid: number): Promise<boolean> {
  for (let i = 0; i < 3000; i++) {
    if (!exists(`/proc/${pid}`)) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}

for (const machine of ["q35", "pc"] as const) {
  test(`openQemu() finds the functions of a ${machine} machine and their registers`, async () => {
    await using qemu = await openQemu({ machine, arguments: [...BLK, ...RNG] });
    assertMatch(qemu.description, new RegExp(`^QEMU \\d+\\.\\d+\\.\\d+ ${machine}$`));
    assertEquals(
      list(qemu),
      machine === "q35"
        ? [
          "0000:00:00.0 8086 29c0",
          "0000:00:01.0 1af4 1042",
          "0000:00:02.0 1af4 1044",
          "0000:00:03.0 1af4 1110",
          "0000:00:1f.0 8086 2918",
          "0000:00:1f.2 8086 2922",
          "0000:00:1f.3 8086 2930",
        ]
        : [
          "0000:00:00.0 8086 1237",
          "0000:00:01.0 8086 7000",
          "0000:00:01.1 8086 7010",
          "0000:00:01.3 8086 7113",
          "0000:00:02.0 1af4 1042",
          "0000:00:03.0 1af4 1044",
          "0000:00:04.0 1af4 1110",
        ],
    );
    const found = find(qemu, BLK_ID);
    assertEquals(sizeBars(found.config).map(({ index, size, bits }) => [index, size, bits]), [
      [1, 4096, 32],
      [4, 16384, 64],
    ]);
    using blk = found.open();
    assertEquals(blk.config.read16(4) & 7, 6);
    const bar = blk.bar(4)!;
    assertEquals(bar.size, 16384);
    assertEquals(bar.read16(NUM_QUEUES), 1);
    assertEquals(bar.read32(0x2000), 1073741824 / 512);
    assertEquals(blk.bar(0), undefined);
    assertEquals(blk.bar(5), undefined);
    assertThrows(() => bar.read32(16384), RangeError);
    assertThrows(() => bar.read32(2), RangeError);
  });
}

for (
  const [place, machine, device] of [
    ["on a q35 root bus", "q35", RNG],
    ["on a pc root bus", "pc", RNG],
    ["behind a PCI Express root port", "q35", RNG_BEHIND_PORT],
    ["behind a conventional bridge", "pc", RNG_BEHIND_BRIDGE],
  ] as const
) {
  test(`a device ${place} reads the doorbell, writes memory and signals its eventfd`, async () => {
    await using qemu = await openQemu({ machine, arguments: [...device] });
    using rng = find(qemu, RNG_ID).open();
    const queue = askForRandomBytes(rng);
    assertEquals(written(queue.doorbell).message.length, `writew 0x1000003000 0x0\n`.length);
    assert(!signalled(queue.eventfd, 0));
    writeAll(queue.doorbell.fd, written(queue.doorbell).message);
    assert(signalled(queue.eventfd, 5000), "no interrupt");
    assert(clear(queue.eventfd));
    assertEquals(queue.usedIndex(), 1);
    assert(queue.random().some((word) => word !== 0));
    assert(!signalled(queue.second, 0));
    rng.takeAnswers();
  });
}

test("OpenFunction can be given back and taken again, with memory and interrupts as new", async () => {
  await using qemu = await openQemu({ arguments: [...RNG] });
  const found = find(qemu, RNG_ID);
  for (let round = 0; round < 3; round++) {
    using rng = found.open();
    assertThrows(() => found.open(), Error, "taken already");
    const queue = askForRandomBytes(rng);
    assertEquals(queue.memory.offset, 1 << 20);
    assert(queue.random().every((word) => word === 0), "the memory was not zeroed");
    assert(!signalled(queue.eventfd, 0), "a stale interrupt");
    writeAll(queue.doorbell.fd, written(queue.doorbell).message);
    assert(signalled(queue.eventfd, 5000)); // not cleared: the next round must not see it
    assertThrows(() => rng.vectors(1), Error, "twice");
  }
  const rng = found.open();
  rng[Symbol.dispose]();
  rng[Symbol.dispose]();
  assertEquals(found.config.read16(4) & 7, 0);
  assertThrows(() => rng.bar(4), Error, "given back");
});

test("OpenFunction.vectors() gives as many as the table has, and none without MSI-X", async () => {
  await using qemu = await openQemu({
    arguments: [...RNG, "-device", "virtio-balloon-pci,disable-legacy=on"],
  });
  using rng = find(qemu, RNG_ID).open();
  assertEquals(rng.vectors(100).length, 2);
  using balloon = find(qemu, 0x1045).open();
  assertEquals(balloon.vectors(2).length, 0);
});

test("the function that carries the interrupts is listed but refused", async () => {
  await using qemu = await openQemu({ arguments: [] });
  assertThrows(() => find(qemu, 0x1110).open(), Error, "carries the interrupts");
});

test("registers stay right while others ring doorbells on the same socket, even too many", async () => {
  await using qemu = await openQemu({ arguments: [...BLK, ...RNG] });
  using blk = find(qemu, BLK_ID).open();
  using rng = find(qemu, RNG_ID).open();
  const bar = blk.bar(4)!;
  const { fd, message, credits } = written(rng.doorbell(4, NOTIFY, 0, 2));
  assert(credits! >= 16 && credits! <= 32);
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < credits!; i++) writeAll(fd, message);
    if (round % 3 === 0) bar.write8(STATUS, round % 2);
    if (round % 7 === 0) rng.takeAnswers();
    assertEquals(bar.read16(NUM_QUEUES), 1);
  }
  // Until neither side has room any more: QEMU stands still and waits for a reader.
  while (sendNow(fd, message) > 0);
  assertEquals(bar.read16(NUM_QUEUES), 1);
});

test("Qmp.execute() answers, refuses with QEMU's words, and keeps events", async () => {
  await using qemu = await openQemu({ arguments: [...RNG] });
  assert(qemu.qmp.version[0] >= 7);
  assertEquals((qemu.qmp.execute("query-status") as { running: boolean }).running, true);
  const error = assertThrows(() => qemu.qmp.execute("no-such-thing"), QmpError, "no-such-thing");
  assertEquals(error.code, "CommandNotFound");
  assertEquals(qemu.qmp.event("STOP"), undefined);
  qemu.qmp.execute("stop");
  assertEquals(qemu.qmp.event("STOP", 1000)?.event, "STOP");
  assertEquals(qemu.qmp.event("STOP", 10), undefined);
});

test("QemuGone is thrown at once and for good when QEMU is killed", async () => {
  await using qemu = await openQemu({ arguments: [...BLK] });
  const found = find(qemu, BLK_ID);
  using blk = found.open();
  blk.dma(65536);
  const bar = blk.bar(4)!;
  assertEquals(qemu.gone(), undefined);
  assert(!signalled(qemu.end!.fd, 0));
  Deno.kill(qemu.pid, "SIGKILL");
  const start = performance.now();
  const error = assertThrows(() => bar.read16(NUM_QUEUES), QemuGone, "signal 9");
  assertEquals(error.exit, { signal: 9 });
  assertEquals(error.pid, qemu.pid);
  for (
    const access of [
      () => bar.read32(0),
      () => bar.write32(0, 0),
      () => blk.takeAnswers(),
      () => found.config.read16(0),
      () => qemu.qmp.execute("query-status"),
    ]
  ) {
    assertThrows(access, QemuGone);
  }
  assert(performance.now() - start < 10_000);
  assertEquals(qemu.gone(), error);
  assert(signalled(qemu.end!.fd, 0));
});

test("QEMU that stands still is given up after a second, and it is said why", async () => {
  await using qemu = await openQemu({ arguments: [...BLK] });
  using blk = find(qemu, BLK_ID).open();
  const bar = blk.bar(4)!;
  Deno.kill(qemu.pid, "SIGSTOP");
  const start = performance.now();
  assertThrows(
    () => bar.read16(NUM_QUEUES),
    QemuGone,
    "it did not answer on its qtest connection for 1 s (signal 9)",
  );
  const took = performance.now() - start;
  assert(took > 900 && took < 30_000, `${took} ms`);
  assertThrows(() => bar.read16(NUM_QUEUES), QemuGone);
  assert(signalled(qemu.end!.fd, 0));
});

test("QemuPlatform.gone() notices the end without an access", async () => {
  await using qemu = await openQemu({ arguments: [] });
  Deno.kill(qemu.pid, "SIGKILL");
  assert(signalled(qemu.end!.fd, 5000));
  assertEquals(qemu.gone()?.exit, { signal: 9 });
});

test("openQemu() fails with QEMU's own words", async () => {
  const error = await assertRejects(
    () => openQemu({ arguments: ["-device", "no-such-device"] }),
    QemuGone,
    "it did not start (exit status 1):\nqemu-system-x86_64: -device no-such-device: ",
  );
  assertEquals(error.exit, { code: 1 });
  assert(await endsSoon(error.pid));
});

test("openQemu() says what to do when QEMU is missing or too old", async () => {
  await assertRejects(
    () => openQemu({ arguments: [], program: "qemu-system-nowhere" }),
    Error,
    "no qemu-system-nowhere in PATH; install the package qemu-system-x86",
  );
  const old = await Deno.makeTempFile();
  try {
    for (
      const [complaint, why] of [
        ["-object qtest,id=q: invalid object type: qtest", "it did not start, because this"],
        ["-object: Parameter 'qom-type' does not accept value 'qtest'", "takes QEMU 7.0 or later"],
        ["something else", "it did not start (exit status 1)"],
      ] as const
    ) {
      await Deno.writeTextFile(old, `#!/bin/sh\necho "${complaint}" >&2\nexit 1\n`);
      await Deno.chmod(old, 0o755);
      const error = await assertRejects(() => openQemu({ arguments: [], program: old }), QemuGone);
      assert(error.message.includes(why) && error.message.includes(complaint), error.message);
    }
  } finally {
    await Deno.remove(old);
  }
});

test("openQemu() refuses memory sizes that QEMU would place elsewhere", async () => {
  for (const memory of [0, 15, 2048, 100.5, NaN]) {
    await assertRejects(() => openQemu({ memory, arguments: [] }), RangeError, "16 to 2047");
  }
});

test("closing the platform leaves no process and no descriptor", async () => {
  await (await openQemu({ arguments: [...RNG] }))[Symbol.asyncDispose](); // opens what stays open
  const before = readFolder("/proc/self/fd").length;
  const qemu = await openQemu({ arguments: [...RNG] });
  const rng = find(qemu, RNG_ID).open();
  const bar = rng.bar(4)!;
  rng.vectors(2);
  rng.dma(65536);
  await qemu[Symbol.asyncDispose]();
  assert(!exists(`/proc/${qemu.pid}`));
  assertThrows(() => bar.read32(0), QemuGone, "it was closed");
  rng[Symbol.dispose]();
  await qemu[Symbol.asyncDispose]();
  assertEquals(readFolder("/proc/self/fd").length, before);
  await assertRejects(() => openQemu({ arguments: ["-device", "no-such-device"] }));
  assertEquals(readFolder("/proc/self/fd").length, before);
});

test("QEMU ends with its parent, even one that was killed", async () => {
  const module = new URL("./mod.ts", import.meta.url).href;
  const child = new Deno.Command(Deno.execPath(), {
    signal: patience(),
    args: [
      "eval",
      `import { openQemu } from "${module}";
       const qemu = await openQemu({ arguments: [] });
       console.log(qemu.pid);
       setTimeout(() => {}, 60_000);`,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const pid = Number(new TextDecoder().decode((await reader.read()).value));
  assert(pid > 0 && exists(`/proc/${pid}`));
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  assert(await endsSoon(pid), `QEMU (process ${pid}) lives on`);
});
