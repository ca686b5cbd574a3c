/**
 * The SCSI driver on QEMU's virtio-scsi in all its forms.
 *
 * @module
 */

import { ScsiError, senseText, VpdPage } from "../classes/scsi/mod.ts";
import type { Device } from "../classes.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Isolation } from "../core/kernel/driver_host.ts";
import type { Kernel, OpenOptions } from "../mod.ts";
import { Status } from "../core/bus/lane.ts";
import { RequestError } from "../core/bus/request_error.ts";
import { ScsiResponse } from "../classes/scsi/protocol.ts";
import "./support/libc.ts";
import { leftovers, soon } from "./support/leaks.ts";
import { eachQemuTest, pattern, qemuTest } from "./support/machine.ts";
import { assertQemuHas, differsAt, openQemuKernel, qmpOf, useDisk } from "./support/qemu.ts";
import { nextEvent, ScsiFileDisk } from "./support/scsi.ts";

const MIB = 2 ** 20;

/** A kernel on a QEMU with one SCSI adapter and what is behind it. */
async function openScsi(
  disks: readonly ScsiFileDisk[],
  adapter = "",
  options: OpenOptions = {},
  machine: "q35" | "pc" = "q35",
): Promise<{ kernel: Kernel; device: Device<"scsi"> } & AsyncDisposable> {
  const args = ["-device", `virtio-scsi-pci,id=scsi${adapter}`];
  for (const disk of disks) args.push(...disk.arguments);
  const kernel = await openQemuKernel(args, { isolation: "inline", ...options }, machine);
  try {
    const device = await kernel.attachFirst("scsi");
    return { kernel, device, [Symbol.asyncDispose]: () => kernel[Symbol.asyncDispose]() };
  } catch (error) {
    await kernel[Symbol.asyncDispose]();
    throw error;
  }
}

const FORMS = [
  { name: "modern", adapter: ",disable-legacy=on", legacy: false },
  { name: "packed", adapter: ",disable-legacy=on,packed=on", legacy: false },
  { name: "old", adapter: ",disable-legacy=off,disable-modern=on", legacy: false },
  { name: "transitional", adapter: ",disable-legacy=off,disable-modern=off", legacy: true },
] as const;

for (const isolation of ["process", "inline"] as const) {
  for (const { name, adapter, legacy } of FORMS) {
    eachQemuTest(
      `scsi: two disks are found, written and read (${name}, ${isolation}) ` +
        "#scsi:SCAN #scsi:REQUEST #scsi:CONFIG",
      async () => {
        using first = new ScsiFileDisk("first", MIB, { target: 0, lun: 0 }, ",serial=FIRST");
        using second = new ScsiFileDisk("second", MIB, { target: 3, lun: 300 });
        const left = await leftovers(async () => {
          await using use = await openScsi([first, second], adapter, { isolation, legacy });
          const { client } = use.device;
          const units = await client.scan();
          assertEquals(units.map(({ address }) => address), [first.address, second.address]);
          assertEquals(units.map(({ inquiry }) => inquiry.product), Array(2).fill("QEMU HARDDISK"));
          for (const file of [first, second]) {
            const disk = await client.disk(file.address);
            assertEquals([disk.capacity, disk.blockSize, disk.readOnly], [MIB, 512, false]);
            await useDisk(disk, file.wanted, 0, 100);
          }
          assertEquals(await (await client.disk(first.address)).id(), "FIRST");
          await agrees(use.kernel, use.device, name);
        });
        assertEquals(left, []);
        assertEquals([first.differsAt(), second.differsAt()], [-1, -1]);
      },
    );
  }
}

/** Holds what the kernel says of the device against what QEMU says. */
async function agrees(kernel: Kernel, device: Device, form: string): Promise<void> {
  const view = await device.describe();
  assertQemuHas(kernel, "scsi", view);
  assertEquals(view.restarts, 0);
  const kind = form === "packed" ? "packed" : "split";
  for (const queue of view.queues) assertEquals([queue.kind, queue.broken], [kind, undefined]);
  const [control, event, requests] = view.queues;
  // All event buffers are with the device, and nothing else (virtio 1.4, 5.6.6.3).
  assertEquals([control!.inFlight, event!.inFlight, requests!.inFlight], [0, 16, 0]);
}

qemuTest("scsi: requests are spread over several queues #scsi:MQ", async () => {
  using first = new ScsiFileDisk("first", MIB, { target: 0, lun: 0 });
  using second = new ScsiFileDisk("second", MIB, { target: 1, lun: 0 });
  {
    await using use = await openScsi([first, second], ",num_queues=3");
    const { device } = use;
    await Promise.all([first, second].map(async ({ address, wanted }) => {
      await useDisk(await device.client.disk(address), wanted);
    }));
    const { queues } = await device.describe();
    assertEquals(queues.map(({ name }) => name), [
      "control",
      "event",
      "requests0",
      "requests1",
      "requests2",
    ]);
    const used = queues.slice(2).filter(({ completed }) => completed! > 0);
    assertEquals(used.length, 2);
  }
  assertEquals([first.differsAt(), second.differsAt()], [-1, -1]);
});

qemuTest(
  "scsi: the adapter's room for sense data is what it was told #scsi:SENSE_SIZE",
  async () => {
    for (const sense of [18, 96, 252]) {
      using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
      {
        await using use = await openScsi([file], "", { tunables: { "scsi.sense_size": sense } });
        const disk = await use.device.client.disk(file.address);
        // Data would come at the wrong place otherwise.
        await useDisk(disk, file.wanted, sense, 20);
        const { sense: said } = await use.device.client.execute(file.address, Uint8Array.of(0xff));
        assertEquals(said?.asc, 0x20);
      }
      assertEquals(file.differsAt(), -1);
    }
  },
);

qemuTest(
  "scsi: units, targets and blocks that are not there are one clear error each #scsi:RESPONSES",
  async () => {
    using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
    {
      await using use = await openScsi([file]);
      const { client } = use.device;
      const error = async (work: Promise<unknown>) =>
        (await assertRejects(() => work, Error)).message;
      assertEquals(
        await error(client.inquiry({ target: 7, lun: 0 })),
        "Cannot read the inquiry data of unit 7:0: there is no such unit",
      );
      assertEquals(
        await error(client.disk({ target: 0, lun: 1 })),
        "Cannot read the inquiry data of unit 0:1: there is no such unit",
      );
      assertMatch(
        await error(client.inquiry({ target: 256, lun: 0 })),
        /address.target .* 256, .* 0 to 255/,
      );
      assertMatch(
        await error(client.inquiry({ target: 0, lun: 16384 })),
        /address.lun .* 16384, .* 0 to 16383/,
      );
      const disk = await client.disk(file.address);
      const bytes = new Uint8Array(512);
      assertMatch(await error(disk.write(MIB, bytes)), /at 1048576: the unit ends at 1048576/);
      assertMatch(await error(disk.write(100, bytes)), /not multiples of 512/);
      const answer = await client.execute(
        file.address,
        Uint8Array.of(0x28, 0, 0, 1, 0, 0, 0, 0, 1, 0),
        {
          inBytes: 512,
        },
      );
      assertEquals([answer.ended, answer.response], [Status.ok, ScsiResponse.ok]);
      assertEquals(
        senseText(answer.sense!),
        "illegal request: logical block address out of range (5/21/00)",
      );
      // More data than there is room for.
      const overrun = await client.execute(
        file.address,
        Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0),
        { inBytes: 512 },
      );
      assertEquals([overrun.ended, overrun.response], [Status.failed, ScsiResponse.overrun]);
      await useDisk(disk, file.wanted);
    }
    assertEquals(file.differsAt(), -1);
  },
);

qemuTest("scsi: a disk that may not be written refuses it, here and there", async () => {
  using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
  const args = file.arguments.map((text) => text.replace("discard=unmap", "read-only=on"));
  await using kernel = await openQemuKernel(["-device", "virtio-scsi-pci,id=scsi", ...args], {
    isolation: "inline",
  });
  const { client } = await kernel.attachFirst("scsi");
  const disk = await client.disk(file.address);
  assert(disk.readOnly);
  await assertRejects(() => disk.write(0, new Uint8Array(512)), TypeError, "is read-only");
  const cdb = Uint8Array.of(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
  const { sense } = await client.execute(file.address, cdb, { out: new Uint8Array(512) });
  assertEquals(sense?.key, 7);
  assertEquals((await disk.read(0, 512)).length, 512);
});

qemuTest("scsi: pages, modes, discards and zeroes are those of QEMU's disk", async () => {
  using file = new ScsiFileDisk(
    "disk",
    MIB,
    { target: 0, lun: 0 },
    ",serial=ABC,wwn=0x5000c50015ea71ac,logical_block_size=4096,physical_block_size=4096",
  );
  {
    await using use = await openScsi([file]);
    const { client } = use.device;
    const pages = await client.vpd(file.address, VpdPage.supported);
    assertEquals([...pages!].filter((page) => [0, 0x80, 0x83, 0xb0, 0xb1, 0xb2].includes(page)), [
      0,
      0x80,
      0x83,
      0xb0,
      0xb1,
      0xb2,
    ]);
    assertEquals(await client.vpd(file.address, 0xd0), undefined);
    assertEquals((await client.mode(file.address, 8))?.length, 20);
    assertEquals(await client.mode(file.address, 0x1c), undefined);
    const disk = await client.disk(file.address);
    assertEquals([disk.blockSize, disk.geometry.physicalBlockSize], [4096, 4096]);
    assertEquals([disk.writeCache, disk.canDiscard], [true, true]);
    assertEquals(await disk.id(), "ABC");
    await assertRejects(() => disk.write(512, new Uint8Array(512)), RangeError, "4096");
    await disk.write(0, pattern(MIB, 1));
    await disk.writeZeroes(4096, 65536);
    await disk.writeZeroes(131072, 8192, { unmap: true });
    await disk.discard(MIB / 2, 65536);
    await disk.flush();
    file.wanted.set(pattern(MIB, 1));
    file.wanted.fill(0, 4096, 4096 + 65536).fill(0, 131072, 131072 + 8192);
    file.wanted.fill(0, MIB / 2, MIB / 2 + 65536);
    // Pieces of blocks can be read.
    assertEquals(differsAt(await disk.read(512, 8192), file.wanted.slice(512, 8704)), -1);
  }
  assertEquals(file.differsAt(), -1);
});

qemuTest("scsi: bad blocks are told in words, and the rest can be read", async () => {
  const bad = {
    driver: "blkdebug",
    "node-name": "bad",
    image: { driver: "null-co", size: MIB, "read-zeroes": true },
    "inject-error": [{ event: "none", iotype: "read", errno: 5, sector: 64 }],
  };
  await using kernel = await openQemuKernel([
    ...["-device", "virtio-scsi-pci,id=scsi", "-blockdev", JSON.stringify(bad)],
    ...["-device", "scsi-hd,drive=bad,bus=scsi.0,rerror=report"],
  ], { isolation: "inline" });
  const { client } = await kernel.attachFirst("scsi");
  const disk = await client.disk({ target: 0, lun: 0 });
  const error = await assertRejects(() => disk.read(64 * 512, 512), ScsiError);
  assertMatch(error.message, /^Cannot read 512 bytes at 32768 of unit 0:0: .* \(.\/..\/..\)$/);
  assertEquals(error.answer?.status, 2);
  assertEquals((await disk.read(0, 64 * 512)).length, 64 * 512);
});

eachQemuTest(
  "scsi: units that come and go are events, and what is done with them fails at once " +
    "#scsi:HOTPLUG #scsi:EVENT_TRANSPORT_RESET_RESCAN #scsi:EVENT_TRANSPORT_RESET_REMOVED",
  async () => {
    for (const isolation of ["process", "inline"] as const) {
      using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
      await using use = await openScsi([file], "", { isolation });
      const { device: { client }, kernel } = use;
      const qmp = qmpOf(kernel);
      await client.scan();
      const events = client.changes();
      const node = { driver: "null-co", size: MIB, "read-zeroes": true, "node-name": "more" };
      qmp.execute("blockdev-add", node);
      const more = { driver: "scsi-hd", id: "more", drive: "more", bus: "scsi.0" };
      qmp.execute("device_add", { ...more, "scsi-id": 5, lun: 2 });
      const address = { target: 5, lun: 2 };
      assertEquals((await nextEvent(events, "added")).address, address);
      const disk = await client.disk(address);
      assertEquals(disk.capacity, MIB);
      qmp.execute("device_del", { id: "more" });
      assertEquals((await nextEvent(events, "removed")).address, address);
      await assertRejects(() => disk.read(0, 512), ScsiError, "there is no such unit");
      await assertRejects(() => client.disk(address), ScsiError, "there is no such unit");
      assertEquals((await client.scan()).map((unit) => unit.address), [file.address]);
      assertEquals((await use.device.describe()).statistics.events, 2);
    }
  },
);

qemuTest(
  "scsi: a disk that grows has its new size #scsi:CHANGE #scsi:EVENT_PARAM_CHANGE",
  async () => {
    using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
    await using use = await openScsi([file]);
    const { device: { client }, kernel } = use;
    const disk = await client.disk(file.address);
    const events = client.changes();
    qmpOf(kernel).execute("block_resize", { "node-name": "disk-node", size: 2 * MIB });
    const changed = await nextEvent(events, "changed");
    assertEquals([changed.address, changed.asc, changed.ascq], [file.address, 0x2a, 0x09]);
    assert(await soon(() => disk.capacity === 2 * MIB), `it is ${disk.capacity}`);
    const bytes = pattern(512, 9);
    await disk.write(2 * MIB - 512, bytes);
    assertEquals(await disk.read(2 * MIB - 512, 512), bytes);
  },
);

qemuTest("scsi: a CD-ROM is read, and another medium is seen #scsi:medium", async () => {
  using first = new ScsiFileDisk("cd", MIB, { target: 2, lun: 0 }, "", "scsi-cd");
  using second = new ScsiFileDisk("other", 2 * MIB, { target: 0, lun: 0 });
  const [one, two] = [pattern(MIB, 1), pattern(2 * MIB, 2)];
  Deno.writeFileSync(first.file, one);
  Deno.writeFileSync(second.file, two);
  await using use = await openScsi([first]);
  const { device: { client }, kernel } = use;
  const qmp = qmpOf(kernel);
  const disk = await client.disk(first.address);
  assertEquals([disk.blockSize, disk.readOnly, disk.capacity], [2048, true, MIB]);
  assertEquals(differsAt(await disk.read(0, MIB), one), -1);
  assertEquals(differsAt(await disk.read(512, 4096), one.slice(512, 4608)), -1);
  await assertRejects(() => disk.write(0, new Uint8Array(2048)), TypeError, "read-only");

  const events = client.changes();
  qmp.execute("blockdev-open-tray", { id: "cd" });
  qmp.execute("blockdev-remove-medium", { id: "cd" });
  await assertRejects(() => disk.read(0, 2048), ScsiError, "medium not present");
  const node = { driver: "file", filename: second.file, "node-name": "two", "read-only": true };
  qmp.execute("blockdev-add", node);
  qmp.execute("blockdev-insert-medium", { id: "cd", "node-name": "two" });
  qmp.execute("blockdev-close-tray", { id: "cd" });
  // QEMU tells by a unit attention only.
  await client.ready(first.address);
  assertEquals((await nextEvent(events, "medium")).address, first.address);
  assert(await soon(() => disk.capacity === 2 * MIB), `it is ${disk.capacity}`);
  // What was opened is the old medium: its user must say that the new one is meant.
  await assertRejects(() => disk.read(MIB, MIB), ScsiError, "exchanged or taken out");
  const anew = await client.disk(first.address);
  assertEquals(differsAt(await anew.read(MIB, MIB), two.slice(MIB)), -1);
  await assertRejects(() => disk.read(0, 2048), ScsiError, "open the disk anew");
  await disk.refresh();
  assertEquals(differsAt(await disk.read(0, MIB), two.slice(0, MIB)), -1);
});

qemuTest(
  "scsi: QEMU's task management functions, and those that it does not know #scsi:TMF_ABORT_TASK_SET " +
    "#scsi:TMF_CLEAR_ACA #scsi:TMF_CLEAR_TASK_SET #scsi:TMF_I_T_NEXUS_RESET " +
    "#scsi:TMF_LOGICAL_UNIT_RESET #scsi:TMF_QUERY_TASK_SET #scsi:AN_QUERY #scsi:AN_SUBSCRIBE",
  async () => {
    using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
    await using use = await openScsi([file]);
    const { device: { client } } = use;
    const disk = await client.disk(file.address);
    assertEquals(await client.manage("queryTaskSet", file.address), false);
    for (const what of ["abortTaskSet", "clearTaskSet", "unitReset", "nexusReset"] as const) {
      assertEquals(await client.manage(what, file.address), true, what);
      await useDisk(disk, file.wanted, 3, 10);
    }
    const unknown = await assertRejects(
      () => client.manage("clearAca", file.address),
      RequestError,
    );
    assertEquals(unknown.status, Status.unsupported);
    const absent = { target: 9, lun: 0 };
    await assertRejects(() => client.manage("unitReset", absent), RequestError, "no such target");
    // QEMU has none of these notifications.
    assertEquals(await client.notifications(file.address, 0x7e), 0);
    assertEquals(await client.subscribe(file.address, 0x7e), 0);
  },
);

/** An adapter with a disk that takes long for everything that it reads. */
const SLOW = [
  ...["-device", "virtio-scsi-pci,id=scsi"],
  ...["-blockdev", "driver=null-co,size=1048576,latency-ns=3000000000,node-name=slow"],
  ...["-device", "scsi-hd,drive=slow,bus=scsi.0"],
];
const READ = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);

for (const isolation of ["process", "inline"] as readonly Isolation[]) {
  qemuTest(
    `scsi: a command that takes too long is aborted, and nothing else (${isolation}) ` +
      "#scsi:TMF_ABORT_TASK #scsi:TMF_QUERY_TASK #scsi:TIMEOUT",
    async () => {
      await using kernel = await openQemuKernel(SLOW, { isolation });
      const device = await kernel.attachFirst("scsi");
      const { client } = device;
      const address = { target: 0, lun: 0 };
      await client.ready(address);
      const options = { inBytes: 512, timeout: 200 };
      const [late, ...others] = await Promise.all([
        client.execute(address, READ, options),
        client.execute(address, READ, { inBytes: 512 }),
        client.execute(address, Uint8Array.of(0, 0, 0, 0, 0, 0)),
      ]);
      assertEquals([late!.response, late!.late], [ScsiResponse.aborted, 200]);
      assertEquals(others.map(({ response }) => response), [ScsiResponse.ok, ScsiResponse.ok]);
      const { statistics, restarts } = await device.describe();
      assertEquals([statistics.task_management, restarts, client.timeouts], [2, 0, 1]);
    },
  );
}

qemuTest("scsi: a command that is given up is aborted #scsi:TMF_ABORT_TASK", async () => {
  await using kernel = await openQemuKernel(SLOW, { isolation: "inline" });
  const { client } = await kernel.attachFirst("scsi");
  const address = { target: 0, lun: 0 };
  await client.ready(address);
  const over = new AbortController();
  const reading = client.execute(address, READ, { inBytes: 512, signal: over.signal });
  assert(await soonBusy(client, address), "the unit never had the command");
  over.abort(new Error("no more"));
  await assertRejects(() => reading, Error, "no more");
  assertEquals(await client.manage("queryTaskSet", address), false);
});

async function soonBusy(
  client: Device<"scsi">["client"],
  address: { target: number; lun: number },
): Promise<boolean> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    if (await client.manage("queryTaskSet", address)) return true;
  }
  return false;
}

qemuTest(
  "scsi: a driver that is killed comes back, and what must not be done twice is not #scsi:REPLAY",
  async () => {
    using file = new ScsiFileDisk("disk", MIB, { target: 0, lun: 0 });
    using slow = new ScsiFileDisk("slow", MIB, { target: 1, lun: 0 });
    const throttled = [
      ...["-object", "throttle-group,id=few,x-iops-total=2"],
      ...slow.arguments.map((text) =>
        text.startsWith("driver=")
          ? `driver=throttle,throttle-group=few,node-name=slow-node,` +
            `file.driver=file,file.filename=${slow.file}`
          : text
      ),
    ];
    {
      await using kernel = await openQemuKernel([
        ...["-device", "virtio-scsi-pci,id=scsi"],
        ...file.arguments,
        ...throttled,
      ]);
      const device = await kernel.attachFirst("scsi");
      const { client } = device;
      const disk = await client.disk(file.address);
      await client.ready(slow.address);
      const once = Promise.all(
        Array.from({ length: 4 }, () => client.execute(slow.address, READ, { inBytes: 512 })),
      );
      // A flush after the restart says that what was written before may be lost; here nothing is.
      const load = useDisk(
        {
          read: (offset, length) => disk.read(offset, length),
          write: (offset, bytes) => disk.write(offset, bytes),
          flush: () => disk.flush().catch(() => disk.flush()),
        },
        file.wanted,
        1,
        300,
      );
      assert(await soonBusy(client, slow.address));
      Deno.kill(device.pid!, "SIGKILL");
      await load;
      const ends = (await once).map(({ ended }) => ended);
      assert(ends.includes(Status.unknown), `they ended as ${ends}`);
      assertEquals(ends.filter((end) => end !== Status.unknown && end !== Status.ok), []);
      assertEquals((await device.describe()).restarts, 1);
      await useDisk(disk, file.wanted, 2, 20);
    }
    assertEquals(file.differsAt(), -1);
  },
);
