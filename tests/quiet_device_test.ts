/**
 * Devices that do not do something at once: ones that keep requests, as they may, and ones whose configuration changes
 * before they could tell.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { BalloonModel } from "@virtio/balloon/model";
import type { DeviceHandle } from "../simulation/model.ts";
import { DRIVERS } from "../drivers.ts";
import { openKernel } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";

/** A balloon whose hypervisor makes up its mind while the driver is started. */
class HastyModel extends BalloonModel {
  device: DeviceHandle | undefined;

  override attach(device: DeviceHandle): void {
    super.attach(device);
    this.device = device;
  }

  override configWrite(offset: number, value: number, width: 1 | 2 | 4): void {
    super.configWrite(offset, value, width);
    // It is before DRIVER_OK, so the driver is not told (virtio 1.4, 3.1.1).
    if (this.inflated.size === 0) this.want(500);
  }
}

for (const isolation of ["process", "inline"] as const) {
  for (const interrupts of ["msix", "intx", "polling"] as const) {
    Deno.test(`configuration that changed before DRIVER_OK is seen (${interrupts}, ${isolation})`, async () => {
      const model = new HastyModel();
      await using kernel = await openKernel({
        machine: "simulated",
        devices: [model],
        drivers: DRIVERS,
        isolation,
        interrupts,
        tunables: { "balloon.arena_mib": 4 },
      });
      const { client } = await kernel.attachFirst("balloon");
      assert(await soon(() => model.inflated.size === 500), `${model.inflated.size} pages`);
      assertEquals(client.state.requested, 500);
    });
  }

  Deno.test(`a device that keeps a request is notified of it again a few times only (${isolation})`, async () => {
    const model = new HastyModel({ features: 1n << 1n });
    await using kernel = await openKernel({
      machine: "simulated",
      devices: [model],
      drivers: DRIVERS,
      isolation,
      tunables: { "balloon.arena_mib": 4 },
    });
    await kernel.attachFirst("balloon");
    // It keeps the statistics until it wants newer ones.
    assert(await soon(() => model.given === 1 && model.inflated.size === 500));
    const { counters } = model.device!;
    // On a busy machine the last of them may come late.
    for (let before = -1; counters.notifications !== before;) {
      before = counters.notifications;
      assert(before <= 10, `${before} notifications`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    model.askStatistics();
    assert(await soon(() => model.given === 2), "it is asked all the same");
  });
}
