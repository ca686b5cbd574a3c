/** Registers that a driver's process maps before its code begins, as behind VFIO and UIO: no call is made for them. */

import { assertEquals } from "@std/assert";
import type { DeviceClass } from "../core/class/mod.ts";
import { InterruptLoop } from "../core/irq/interrupt_loop.ts";
import { Kernel } from "../core/kernel/kernel.ts";
import { loadPlugin } from "../core/kernel/load_plugin.ts";
import { close } from "../core/linux/fd.ts";
import { memoryFile } from "../core/linux/memory.ts";
import { positioned } from "../core/linux/positioned.ts";
import type { OpenFunction, PciFunction } from "../core/pci/function.ts";
import type { Platform } from "../core/platform/platform.ts";
import { openSimulated } from "../simulation/platform/simulated.ts";
import type { FunctionModel } from "../simulation/mod.ts";
import "./support/libc.ts";
import { copied } from "./support/third_party.ts";

interface Panic {
  events(): Promise<readonly string[]>;
  tell(event: "panicked"): Promise<void>;
}

/** A machine with one function, which is opened with something more. */
function withMore(
  model: FunctionModel,
  loop: InterruptLoop,
  more: Partial<OpenFunction>,
): Platform {
  const platform = openSimulated({ devices: [model], loop });
  const functions = platform.functions.map((each): PciFunction => ({
    address: each.address,
    config: each.config,
    open: () => Object.assign(each.open(), more),
  }));
  return { ...platform, functions, [Symbol.asyncDispose]: () => platform[Symbol.asyncDispose]() };
}

for (const mapped of [true, false]) {
  const how = mapped ? "are stores where its pages can be mapped" : "are calls where they cannot";
  Deno.test(`accesses to registers ${how} #core:mapped_registers`, async () => {
    using folder = copied("pvpanic");
    const { panic } = await folder.load<{ panic: DeviceClass<Panic> }>("class.ts");
    const { PanicModel } = await folder.load<
      { PanicModel: new () => FunctionModel & { told: number[] } }
    >("model.ts");
    const model = new PanicModel();
    // What stands for the device's file: its second page is that of the registers.
    const fd = memoryFile("registers", 12288);
    const file = positioned(fd, 0);
    file.write(4096, 1, 1);
    await using loop = new InterruptLoop();
    const pages = () => mapped ? { fd, page: 4096, bytes: 4096 } : undefined;
    const platform = withMore(model, loop, { pages });
    {
      await using kernel = new Kernel({
        loop,
        platform,
        drivers: [loadPlugin(folder.folder)],
        classes: { panic },
      });
      const { client } = await kernel.attachFirst("panic");
      assertEquals(await client.events(), mapped ? ["panicked"] : ["panicked", "crashLoaded"]);
      file.write(4096, 1, 0);
      await client.tell("panicked");
      assertEquals([model.told, file.read(4096, 1)], mapped ? [[], 1] : [[1], 0]);
    }
    close(fd);
  });
}

Deno.test("a driver with mapped registers has no descriptor of its device left #core:mapped_registers", async () => {
  using folder = copied("pvpanic");
  const { panic } = await folder.load<{ panic: DeviceClass<Panic> }>("class.ts");
  const { PanicModel } = await folder.load<{ PanicModel: new () => FunctionModel }>("model.ts");
  const fd = memoryFile("the-device", 8192);
  await using loop = new InterruptLoop();
  const platform = withMore(new PanicModel(), loop, {
    pages: () => ({ fd, page: 0, bytes: 4096 }),
  });
  {
    await using kernel = new Kernel({
      loop,
      platform,
      drivers: [loadPlugin(folder.folder)],
      classes: { panic },
    });
    const device = await kernel.attachFirst("panic");
    const links = [...Deno.readDirSync(`/proc/${device.pid}/fd`)].map(({ name }) =>
      Deno.readLinkSync(`/proc/${device.pid}/fd/${name}`)
    );
    assertEquals(links.filter((link) => link.includes("the-device")), []);
    const maps = Deno.readTextFileSync(`/proc/${device.pid}/maps`);
    assertEquals(maps.split("\n").filter((line) => line.includes("the-device")).length, 1);
  }
  close(fd);
});
