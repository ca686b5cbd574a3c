/**
 * Every driver on every machine, in both hosts, with and without interrupts.
 *
 * @module
 */

import type { Device } from "../classes.ts";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { BlockOperation } from "../classes/block/protocol.ts";
import type { InterruptKind } from "../core/binding/interrupt_kind.ts";
import { type DriveOptions, type Kernel, openKernel } from "../mod.ts";
import "./support/libc.ts";
import { CAPACITY, eachQemuTest, MACHINES, pattern, qemuTest, SERIAL } from "./support/machine.ts";
import { agrees, differsAt } from "./support/qemu.ts";
import { useSlots } from "./support/slots.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

for (const [name, make] of Object.entries(MACHINES)) {
  const test = name === "simulated" ? Deno.test : name === "qemu q35" ? eachQemuTest : qemuTest;
  for (const isolation of ["process", "inline"] as const) {
    for (const interrupts of ["msix", "polling"] as const) {
      test(`random and blk: work (${name}, ${isolation}, ${interrupts})`, async () => {
        using machine = make();
        const options: DriveOptions = { isolation, interrupts };
        const disk = new Uint8Array(CAPACITY);
        {
          await using kernel = await openKernel({ ...machine.options, ...options });
          const random = await kernel.attachFirst("entropy");
          const blk = await kernel.attachFirst("block");
          assertEquals(kernel.devices.length, 2);
          for (const device of [random, blk]) {
            assertEquals(device.isolation, isolation);
            assertEquals(device.pid !== undefined, isolation === "process");
          }
          await checkEntropy(random);
          await checkDisk(blk, disk);
          for (const device of [random, blk]) await checkView(kernel, device, interrupts);
        }
        if (machine.image) assertEquals(differsAt(machine.image(), disk), -1);
      });
    }
  }
}

async function checkEntropy({ client }: Device<"entropy">): Promise<void> {
  for (const length of [0, 1, 31, 4096, 4097, 100_000]) {
    assertEquals((await client.read(length)).length, length);
  }
  assertNotEquals(await client.read(32), await client.read(32));
  const many = await Promise.all(Array.from({ length: 40 }, () => client.read(64)));
  assertEquals(new Set(many.map((bytes) => bytes.toHex())).size, many.length);
  const large = await client.read(65536);
  assertEquals(new Set(large).size, 256, "64 KiB of random bytes have all values");
}

/** Where something is written, and how much: edges of sectors, slots and the disk. */
const EXTENTS: readonly (readonly [offset: number, length: number])[] = [
  [0, 512],
  [512, 512],
  [1536, 2048],
  [4096, 4096],
  [3 * 512, 64 * KIB],
  [64 * KIB - 512, 1024],
  [128 * KIB, 64 * KIB + 512],
  [MIB, MIB + 1536],
  [3 * MIB + 512, 9 * MIB], // more than there are slots
  [CAPACITY - 512, 512],
  [CAPACITY - 200 * KIB, 200 * KIB],
];

/** Writes all over the disk, reads it back, and does the same to `disk`. */
async function checkDisk(device: Device<"block">, disk: Uint8Array): Promise<void> {
  const { client } = device;
  assertEquals([client.capacity, client.blockSize, client.readOnly], [CAPACITY, 512, false]);
  assertEquals(await client.id(), SERIAL);

  for (const [seed, [offset, length]] of EXTENTS.entries()) {
    const bytes = pattern(length, seed);
    disk.set(bytes, offset);
    await client.write(offset, bytes);
    assertEquals(differsAt(await client.read(offset, length), bytes), -1, `${offset} ${length}`);
  }
  await client.flush();

  const many = Array.from({ length: 300 }, (_, i) => i);
  const place = (i: number) => (i * 7 % 300) * 8192 + 512;
  for (const i of many) disk.set(pattern(4096, 1000 + i), place(i));
  await Promise.all(many.map((i) => client.write(place(i), pattern(4096, 1000 + i))));
  const back = await Promise.all(many.map((i) => client.read(place(i), 4096)));
  for (const i of many) assertEquals(differsAt(back[i]!, pattern(4096, 1000 + i)), -1);

  useSlots(client.slots, disk, 2 * MIB);

  const outside: readonly (readonly [number, number])[] = [
    [CAPACITY, 512],
    [CAPACITY - 512, 1024],
    [1, 512],
    [0, 511],
  ];
  for (const [offset, length] of outside) {
    await assertRejects(() => client.read(offset, length), RangeError, "Cannot read");
  }
  for (const offset of [-512, 2 ** 53, NaN]) {
    await assertRejects(() => client.read(offset, 512), Error, "offset of BlockClient.read");
  }
  await client.flush();
  assertEquals(differsAt(await client.read(0, CAPACITY), disk), -1);
}

for (const isolation of ["process", "inline"] as const) {
  qemuTest(`BlockSlots.wait(): is woken by a slow polled device (${isolation})`, async () => {
    const disk = "driver=null-co,size=1048576,latency-ns=50000000,node-name=disk";
    await using kernel = await openKernel({
      machine: "qemu",
      qemu: { arguments: ["-blockdev", disk, "-device", "virtio-blk-pci,drive=disk"] },
      interrupts: "polling",
      isolation,
    });
    const { client: { slots } } = await kernel.attachFirst("block");
    const slot = slots.take();
    slots.submit(slot, BlockOperation.read, 0, 512, () => slots.release(slot));
    slots.publish();
    const start = performance.now();
    assertEquals(slots.wait(60_000), 1);
    assert(performance.now() - start < 30_000, "it slept until its own deadline");
  });
}

/** Holds what the kernel says of a device against what it must be, and against what QEMU says. */
async function checkView(kernel: Kernel, device: Device, interrupts: InterruptKind): Promise<void> {
  const view = await device.describe();
  assertEquals(view.status, ["ACKNOWLEDGE", "DRIVER", "FEATURES_OK", "DRIVER_OK"]);
  assertEquals(view.interrupts, interrupts);
  assertEquals(view.queues.length, 1);
  const [queue] = view.queues;
  assertEquals([queue!.inFlight, queue!.broken, queue!.overlong], [0, undefined, 0]);
  assert(queue!.completed! > 0 && queue!.completed === queue!.published);
  assertEquals(queue!.vector !== undefined, interrupts === "msix");

  if (kernel.machine.kind !== "qemu") return;
  await agrees(kernel, device, { id: device.class === "block" ? "virtio-blk" : "virtio-rng" });
}
