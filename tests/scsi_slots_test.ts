/**
 * SCSI disks without a copy and without promises: what takes the slots of one disk takes those of another.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ScsiModel, type ScsiOptions, type UnitOptions } from "@virtio/scsi/model";
import type { Device } from "../classes.ts";
import { BlockOperation } from "../classes/block/protocol.ts";
import type { BlockSlots } from "../classes/block/slots.ts";
import type { ScsiDisk } from "../classes/scsi/disk.ts";
import { Status } from "../core/bus/lane.ts";
import { type Kernel, openKernel, type OpenOptions } from "../mod.ts";
import { leftovers, soon } from "./support/leaks.ts";
import "./support/libc.ts";
import { pattern, qemuTest } from "./support/machine.ts";
import { differsAt, openQemuKernel } from "./support/qemu.ts";
import { ScsiFileDisk } from "./support/scsi.ts";
import { SlotLoad, useSlots } from "./support/slots.ts";

const MIB = 2 ** 20;
const UNIT = { target: 0, lun: 0 };
const OTHER = { target: 1, lun: 5 };
const DISKS: readonly UnitOptions[] = [{ capacity: MIB }, { ...OTHER, capacity: MIB }];
const READ_10 = 0x28, WRITE_10 = 0x2a;
const ISOLATIONS = ["process", "inline"] as const;

/** A simulated adapter at work, and the disk that is its first unit. */
interface Use extends AsyncDisposable {
  readonly model: ScsiModel;
  readonly device: Device<"scsi">;
  readonly disk: ScsiDisk;
}

async function open(
  adapter: Partial<ScsiOptions> = {},
  options: OpenOptions = {},
): Promise<Use> {
  await using stack = new AsyncDisposableStack();
  const model = new ScsiModel({ units: DISKS, ...adapter });
  const machine = { machine: "simulated", devices: [model], isolation: "inline" } as const;
  const kernel = stack.use(await openKernel({ ...machine, ...options }));
  const device = await kernel.attachFirst("scsi");
  const disk = await device.client.disk(UNIT);
  const rest = stack.move();
  return { model, device, disk, [Symbol.asyncDispose]: () => rest.disposeAsync() };
}

/** Submits one request, and waits until it has ended. */
function one(
  slots: BlockSlots,
  submit: (slot: number, done: (slot: number, status: number, length: number) => void) => void,
): { readonly status: number; readonly length: number; readonly data: Uint8Array } {
  const slot = slots.take();
  let end: { status: number; length: number; data: Uint8Array } | undefined;
  submit(slot, (slot, status, length) => {
    end = { status, length, data: slots.data(slot).slice(0, length) };
    slots.release(slot);
  });
  slots.publish();
  assertEquals(slots.inFlight, 1);
  for (const deadline = performance.now() + 20_000; !end && performance.now() < deadline;) {
    slots.wait(5000);
  }
  assert(end, "it did not end");
  return end;
}

function read(slots: BlockSlots, sector: number, length: number) {
  return one(slots, (slot, done) => {
    slots.submit(slot, BlockOperation.read, sector, length, done);
  });
}

function write(slots: BlockSlots, sector: number, bytes: Uint8Array): number {
  return one(slots, (slot, done) => {
    slots.data(slot).set(bytes);
    slots.submit(slot, BlockOperation.write, sector, bytes.length, done);
  }).status;
}

function stretch(slots: BlockSlots, operation: number, sector: number, sectors: number): number {
  return one(slots, (slot, done) => {
    slots.submitStretch(slot, operation, sector, sectors, 0, done);
  }).status;
}

for (const isolation of ISOLATIONS) {
  Deno.test(`scsi: two disks by slots, each with what is its own (simulated, ${isolation}) #scsi:slots`, async () => {
    const left = await leftovers(async () => {
      await using use = await open({}, { isolation });
      for (const address of [UNIT, OTHER]) {
        const disk = await use.device.client.disk(address);
        const wanted = new Uint8Array(MIB);
        useSlots(disk.slots, wanted, 256 * 1024);
        assertEquals(differsAt(await disk.read(0, MIB), wanted), -1);
      }
      const { slots } = use.disk;
      const other = (await use.device.client.disk(OTHER)).slots;
      const slot = slots.take();
      slots.submit(slot, BlockOperation.read, 0, 512, () => slots.release(slot));
      assertEquals([slots.inFlight, other.inFlight, other.bytes], [1, 0, 65536]);
      slots.publish();
      assertEquals([slots.wait(5000), slots.inFlight], [1, 0]);
    });
    assertEquals(left, []);
  });

  qemuTest(`scsi: a disk by slots (qemu, ${isolation}) #scsi:slots`, async () => {
    using file = new ScsiFileDisk("disk", MIB, UNIT);
    const args = ["-device", "virtio-scsi-pci,id=scsi", ...file.arguments];
    await using kernel = await openQemuKernel(args, { isolation });
    const { client } = await kernel.attachFirst("scsi");
    const { slots } = await client.disk(UNIT);
    useSlots(slots, file.wanted, 512 * 1024);
    assertEquals(
      one(slots, (slot, done) => {
        slots.submit(slot, BlockOperation.flush, 0, 0, done);
      }).status,
      Status.ok,
    );
    assertEquals(file.differsAt(), -1);
  });
}

/** Kills the driver again and again while a disk is written and read, and compares what stands there at the end. */
async function survives(kernel: Kernel): Promise<void> {
  const device = await kernel.attachFirst("scsi");
  const disk = await device.client.disk(UNIT);
  const load = new SlotLoad(disk);
  for (let kills = 1; kills <= 2; kills++) {
    await load.progress();
    Deno.kill(device.pid!, "SIGKILL");
    assert(await soon(() => disk.slots.restarts === kills), "it does not come back");
  }
  await load.progress();
  await load.finish();
  assertEquals(load.failures, []);
  assertEquals(differsAt(await disk.read(0, MIB), load.wanted), -1);
}

Deno.test("scsi: a driver killed under a load of slots: no request fails (simulated) #scsi:slots #scsi:REPLAY", async () => {
  const model = new ScsiModel({ units: DISKS });
  await using kernel = await openKernel({ machine: "simulated", devices: [model] });
  await survives(kernel);
});

qemuTest(
  "scsi: a driver killed under a load of slots: no request fails (qemu) #scsi:slots #scsi:REPLAY",
  async () => {
    using file = new ScsiFileDisk("disk", MIB, UNIT);
    const args = ["-device", "virtio-scsi-pci,id=scsi", ...file.arguments];
    await using kernel = await openQemuKernel(args, { isolation: "process" });
    await survives(kernel);
  },
);

Deno.test("scsi: what comes in the way of a slot is no answer, and is told #scsi:slots", async () => {
  await using use = await open();
  const { disk: { slots }, model, device: { client } } = use;
  const [unit] = model.units.values();
  const events = client.changes();
  unit!.attentions.push([0x6, 0x29, 0x00], [0x6, 0x2a, 0x09]);
  const { status, length } = read(slots, 0, 4096);
  assertEquals([status, length, unit!.attentions.length], [Status.ok, 4096, 0]);
  const { value } = await events.next();
  assertEquals([value!.type, (value as { ascq?: number }).ascq], ["changed", 0x09]);
  // One that never has done with it is an error, and no loop.
  unit!.attentions.push(...Array(1000).fill([0x6, 0x29, 0x00]));
  assertEquals(read(slots, 0, 4096).status, Status.failed);
  unit!.attentions.length = 0;
});

Deno.test("scsi: a slot for a medium that is gone does not reach the next one #scsi:slots #scsi:medium", async () => {
  await using use = await open();
  const { disk, model } = use;
  const [unit] = model.units.values();
  assertEquals(write(disk.slots, 0, pattern(512, 1)), Status.ok);
  unit!.load(true, { capacity: 2 * MIB });
  assertEquals(write(disk.slots, 0, pattern(512, 2)), Status.failed);
  assertEquals(write(disk.slots, 0, pattern(512, 3)), Status.failed);
  assertEquals(unit!.served.get(WRITE_10), 1);
  await disk.refresh();
  assertEquals(write(disk.slots, 2 * MIB / 512 - 1, pattern(512, 4)), Status.ok);
  assertEquals(read(disk.slots, 0, 512).data, pattern(512, 1));
});

Deno.test("scsi: slots know what a SCSI disk knows, and end what it does not #scsi:slots", async () => {
  await using use = await open({ units: [{ capacity: MIB, blockSize: 4096 }] });
  const { disk: { slots }, model } = use;
  const [unit] = model.units.values();
  assertEquals(write(slots, 8, pattern(8192, 1)), Status.ok);
  // Not in whole blocks of the disk.
  assertEquals(read(slots, 1, 4096).status, Status.refused);
  assertEquals(read(slots, 0, 512).status, Status.refused);
  assertEquals(stretch(slots, BlockOperation.discard, 0, 1), Status.refused);
  assertEquals(unit!.served.get(READ_10) ?? 0, 0);
  // Behind the end.
  assertEquals(read(slots, MIB / 512, 4096).status, Status.failed);
  assertEquals(stretch(slots, BlockOperation.secureErase, 0, 8), Status.unsupported);
  const identify = one(slots, (slot, done) => {
    slots.submit(slot, BlockOperation.identify, 0, 20, done);
  });
  assertEquals(identify.status, Status.unsupported);
  assertEquals(stretch(slots, BlockOperation.flush, 0, 0), Status.ok);
  assertEquals(read(slots, 8, 8192).data, pattern(8192, 1));
  assertEquals(stretch(slots, BlockOperation.writeZeroes, 8, 8), Status.ok);
  assertEquals(stretch(slots, BlockOperation.discard, 16, 8), Status.ok);
  assertEquals(read(slots, 8, 8192).data, new Uint8Array(8192));
});

Deno.test("scsi: a slot that takes too long is aborted, and the disk goes on #scsi:slots #scsi:TIMEOUT", async () => {
  let held = true;
  await using use = await open({ hold: (cdb) => held && cdb[0] === READ_10 });
  const { disk: { slots }, model, device } = use;
  device.client.timeout = 50;
  const slot = slots.take();
  const ended = new Promise<number>((resolve) => {
    slots.submit(slot, BlockOperation.read, 0, 512, (_, status) => resolve(status));
  });
  slots.publish();
  assertEquals(await ended, Status.failed);
  assertEquals([model.managed, device.client.timeouts], [[6, 0], 1]);
  held = false;
  slots.release(slot);
  assertEquals(read(slots, 0, 512).status, Status.ok);
  assertEquals((await device.describe()).restarts, 0);
});
