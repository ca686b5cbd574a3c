/**
 * What a machine can tell of a function besides interrupts: that it is wanted back, that the bus saw it fail; and what
 * it can do about one that does not reset itself.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DiskModel } from "@virtio/blk/model";
import { close, eventfd, signal } from "../core/linux/fd.ts";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { Kernel } from "../core/kernel/kernel.ts";
import { throughWindow } from "../core/binding/virtio/through_window.ts";
import type { OpenFunction, PciFunction } from "../core/pci/function.ts";
import type { Platform } from "../core/platform/platform.ts";
import { openSimulated } from "../simulation/platform/simulated.ts";
import type { Registers } from "../core/pci/registers.ts";
import { CLASSES } from "../classes.ts";
import { DRIVERS } from "../drivers.ts";
import { type Device, DriverGone, RequestError, Status } from "../mod.ts";
import { soon } from "./support/leaks.ts";
import "./support/libc.ts";

/** A machine with one disk, whose function has more to say than that of a simulated machine. */
function diskThat(
  loop: InterruptLoop,
  more: (device: OpenFunction) => Partial<OpenFunction>,
): Platform {
  const platform = openSimulated({ devices: [new DiskModel({ capacity: 2 ** 20 })], loop });
  const functions = platform.functions.map((each): PciFunction => ({
    address: each.address,
    config: each.config,
    open() {
      const device = throughWindow(each.open(), loop);
      return { ...device, ...more(device) };
    },
  }));
  return {
    ...platform,
    functions,
    [Symbol.asyncDispose]: () => platform[Symbol.asyncDispose](),
  };
}

function readAll(device: Device<"block">, count: number): Promise<unknown[]> {
  return Promise.all(
    Array.from({ length: count }, () => device.client.read(0, 512).catch((error) => error)),
  );
}

for (const isolation of ["inline", "process"] as const) {
  Deno.test(`a function that is wanted back is given back at once, and its requests end as gone (${isolation})`, async () => {
    await using loop = new InterruptLoop();
    const wanted = eventfd();
    let given = false;
    const silence = eventfd();
    // Doorbells that the device does not hear: requests stay in flight.
    const silent = (device: OpenFunction): Partial<OpenFunction> => ({
      wanted,
      doorbell: () => ({ fd: silence, message: new Uint8Array(8) }),
      [Symbol.dispose]() {
        given = true;
        device[Symbol.dispose]();
      },
    });
    const platform = diskThat(loop, silent);
    await using kernel = new Kernel({ loop, platform, drivers: DRIVERS, classes: CLASSES }, {
      isolation,
    });
    const device = await kernel.attachFirst("block");
    const requests = readAll(device, 8);
    signal(wanted);
    for (const error of await requests) {
      assert(error instanceof RequestError && error.status === Status.gone, String(error));
    }
    assertStringIncludes(await device.gone ?? "", "unplugged");
    assertEquals([given, kernel.devices], [true, []]);
    close(wanted);
    close(silence);
  });

  Deno.test(`a function that is wanted back while it is attached is given back, and the attach says why (${isolation})`, async () => {
    await using loop = new InterruptLoop();
    const wanted = eventfd();
    let given = false;
    const platform = diskThat(loop, (device) => ({
      wanted,
      [Symbol.dispose]() {
        given = true;
        device[Symbol.dispose]();
      },
    }));
    await using kernel = new Kernel({ loop, platform, drivers: DRIVERS, classes: CLASSES }, {
      isolation,
    });
    signal(wanted);
    await assertRejects(() => kernel.attachFirst("block"), DriverGone, "unplugged");
    assertEquals([given, kernel.devices], [true, []]);
    close(wanted);
  });

  Deno.test(`a function that is given back while it is reset is not looked at any more (${isolation})`, async () => {
    await using loop = new InterruptLoop();
    const wanted = eventfd();
    let given = false;
    const platform = diskThat(loop, (device) => ({
      wanted,
      // The end comes while the core waits for what it wrote to reach the device.
      async settled() {
        signal(wanted);
        assert(await soon(() => given), "it is not given back");
      },
      [Symbol.dispose]() {
        given = true;
        device[Symbol.dispose]();
      },
    }));
    await using kernel = new Kernel({ loop, platform, drivers: DRIVERS, classes: CLASSES }, {
      isolation,
    });
    await assertRejects(() => kernel.attachFirst("block"), DriverGone, "unplugged");
    assertEquals(kernel.devices, []);
    close(wanted);
  });

  Deno.test(`a function of which the bus reports an error is started anew, and loses nothing (${isolation})`, async () => {
    await using loop = new InterruptLoop();
    const failed = eventfd();
    const platform = diskThat(loop, () => ({ failed }));
    const log: string[] = [];
    await using kernel = new Kernel(
      { loop, platform, drivers: DRIVERS, classes: CLASSES },
      { isolation, log: (line) => log.push(line) },
    );
    const device = await kernel.attachFirst("block");
    await device.client.write(0, new Uint8Array(512).fill(7));
    signal(failed);
    const reads = await readAll(device, 8) as Uint8Array[];
    assert(reads.every((bytes) => bytes.every((byte) => byte === 7)));
    while ((await device.describe()).restarts === 0) await readAll(device, 1);
    assertStringIncludes(log.join("\n"), "The bus reports an error of the device");
    close(failed);
  });
}

const DEVICE_STATUS = 0x14;

Deno.test("a device that does not finish its reset is reset from outside, and works", async () => {
  await using loop = new InterruptLoop();
  let stuck = true, restored = 0;
  const stubborn = (device: OpenFunction): Partial<OpenFunction> => ({
    bar(index): Registers | undefined {
      const registers = device.bar(index);
      return registers && {
        ...registers,
        read8: (offset) => stuck && offset === DEVICE_STATUS ? 0x0f : registers.read8(offset),
      };
    },
    reset: () => void (stuck = false),
    restore() {
      restored++;
      device.restore?.();
    },
  });
  const log: string[] = [];
  await using kernel = new Kernel(
    { loop, platform: diskThat(loop, stubborn), drivers: DRIVERS, classes: CLASSES },
    { isolation: "inline", log: (line) => log.push(line) },
  );
  const device = await kernel.attachFirst("block");
  assertEquals((await device.client.read(0, 512)).length, 512);
  assertStringIncludes(
    log.join("\n"),
    "resetting the function: The device did not finish its reset",
  );
  assert(restored >= 2, "its configuration was not restored after the reset");
});
