/**
 * Devices that are reached in unusual ways: through the window in their configuration space, and with notifications
 * that carry data.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { Kernel } from "../core/kernel/kernel.ts";
import type { OpenFunction, PciFunction } from "../core/pci/function.ts";
import type { Platform } from "../core/platform/platform.ts";
import { openQemu } from "../core/platform/qemu/mod.ts";
import { type DeviceHandle, fitted, NOTIFICATION_DATA, RING_PACKED } from "../simulation/model.ts";
import { CLASSES } from "../classes.ts";
import { DRIVERS } from "../drivers.ts";
import { type AnyDevice, openKernel } from "../mod.ts";
import "./support/libc.ts";
import { pattern, qemuTest } from "./support/machine.ts";

const MIB = 2 ** 20;

/** Writes and reads back: enough to see that a disk works. */
async function workOn(device: AnyDevice): Promise<void> {
  if (device.class !== "block") throw new TypeError("This is no disk");
  const bytes = pattern(MIB, 1);
  await device.client.write(4096, bytes);
  await device.client.flush();
  assertEquals(await device.client.read(4096, MIB), bytes);
}

for (const isolation of ["inline", "process"] as const) {
  qemuTest(
    `a disk whose memory BAR cannot be reached works through the window (${isolation})`,
    async () => {
      await using loop = new InterruptLoop();
      await using qemu = await openQemu({
        arguments: [],
        drives: [{ bytes: 16 * MIB, device: "virtio-blk-pci" }],
      }, loop);
      await using kernel = new Kernel(
        { loop, platform: withoutBar4(qemu), drivers: DRIVERS, classes: CLASSES },
        { isolation },
      );
      const device = await kernel.attachFirst("block") as AnyDevice;
      await workOn(device);
      assertEquals((await device.describe()).transport, "modern");
    },
  );
}

/** The machine as it would be if nothing had room for the BAR that holds the registers of modern devices. */
function withoutBar4(platform: Platform): Platform {
  const blind = (device: OpenFunction): OpenFunction => ({
    ...device,
    bar: (index) => index === 4 ? undefined : device.bar(index),
  });
  const functions = platform.functions.map((each): PciFunction => ({
    ...each,
    open: () => blind(each.open()),
  }));
  return { ...platform, functions };
}

for (const isolation of ["inline", "process"] as const) {
  for (const ring of ["split", "packed"]) {
    Deno.test(`notifications carry where the next request will be (${ring}, ${isolation})`, async () => {
      const model = new WatchedDisk({ capacity: 16 * MIB, requestQueues: 3 });
      const rings = ring === "packed" ? RING_PACKED : 0n;
      await using kernel = await openKernel({
        machine: "simulated",
        devices: [fitted(model, { with: rings | NOTIFICATION_DATA })],
        isolation,
      });
      const device = await kernel.attachFirst("block") as AnyDevice;
      await workOn(device);
      const { features } = await device.describe();
      assertEquals(BigInt(features.accepted) & NOTIFICATION_DATA, NOTIFICATION_DATA);
      assertEquals(model.machine!.counters.wrongNotifications, 0);
      assert(model.machine!.counters.notifications > 0);
    });
  }
}

/** A disk that shows what its machine counts. */
class WatchedDisk extends DiskModel {
  machine: DeviceHandle | undefined;
  override attach(handle: DeviceHandle): void {
    this.machine = handle;
    super.attach(handle);
  }
}
