/**
 * A device that the project does not know, brought by a third party: class, driver and all, in a folder outside.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { defineClass, type DeviceClass, u32 } from "../core/class/mod.ts";
import { loadPlugin } from "../core/kernel/load_plugin.ts";
import type { DefinedPciPlugin } from "../core/plugin/mod.ts";
import { openKernel } from "../mod.ts";
import "./support/libc.ts";
import { pattern, qemuTest } from "./support/machine.ts";
import { soon } from "./support/leaks.ts";

/** What the edu's class gives an application; imported from where it was copied to, so its types are told here. */
interface Edu {
  factorial(n: number): Promise<number>;
  store(bytes: Uint8Array): Promise<void>;
  load(length: number): Promise<Uint8Array<ArrayBuffer>>;
}

interface Copy extends Disposable {
  readonly folder: string;
  readonly class: DeviceClass<Edu>;
  readonly plugin: DefinedPciPlugin;
}

/** The folder in another place, where it finds the project only by the names of its exports. */
async function copied(name: string): Promise<Copy> {
  const root = new URL("../", import.meta.url);
  const from = new URL(`third_party/${name}/`, import.meta.url);
  const folder = Deno.makeTempDirSync({ prefix: `virtio-${name}-` });
  const imports = Object.entries(config.exports).map(([exported, path]) => [
    `${config.name}${exported.slice(1)}`,
    new URL(path, root).href,
  ]);
  // Deno resolves what this process imports by this process's own configuration: so the names are spelt out there.
  const spelt = (text: string) =>
    imports.reduce((now, [name, url]) => now.replaceAll(`"${name}"`, `"${url}"`), text);
  for (const { name } of Deno.readDirSync(from)) {
    const text = Deno.readTextFileSync(new URL(name, from));
    Deno.writeTextFileSync(`${folder}/${name}`, text);
    if (name.endsWith(".ts")) {
      Deno.mkdirSync(`${folder}/here`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/here/${name}`, spelt(text));
    }
  }
  const [{ edu }, { default: plugin }] = await Promise.all([
    import(`file://${folder}/here/class.ts`),
    import(`file://${folder}/here/mod.ts`),
  ]);
  return {
    folder,
    class: edu,
    plugin,
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

for (const isolation of ["inline", "process"] as const) {
  for (const interrupts of ["msix", "intx", "polling"] as const) {
    qemuTest(
      `a PCI device that is no VirtIO device is driven from outside (${isolation}, ${interrupts}) #core:pci_device`,
      async () => {
        using brought = await copied("edu");
        const source = loadPlugin(brought.folder);
        await using kernel = await openKernel({
          machine: "qemu",
          qemu: { arguments: ["-device", "edu"] },
          isolation,
          interrupts,
          classes: { edu: brought.class },
          drivers: [{ ...source, plugin: brought.plugin }],
        });
        const device = await kernel.attachFirst("edu");
        const { client } = device;
        assertEquals(await client.factorial(10), 3628800);
        assertEquals(
          await Promise.all([1, 2, 3, 4, 5, 6].map((n) => client.factorial(n))),
          [1, 2, 6, 24, 120, 720],
        );
        const bytes = pattern(2048, 3);
        await client.store(bytes);
        assertEquals(await client.load(2048), bytes);
        const view = await device.describe();
        assertEquals([view.class, view.transport, view.status], ["edu", "pci", [
          "memory",
          "bus master",
        ]]);
        assertEquals(
          view.interrupts,
          interrupts === "polling" ? "polling" : interrupts === "msix" ? "msi" : "intx",
        );
      },
    );
  }
}

qemuTest("a third party's driver that is killed comes back #core:pci_device", async () => {
  using brought = await copied("edu");
  await using kernel = await openKernel({
    machine: "qemu",
    qemu: { arguments: ["-device", "edu"] },
    classes: { edu: brought.class },
    plugins: [brought.folder],
  });
  const device = await kernel.attachFirst("edu");
  const bytes = pattern(1024, 5);
  await device.client.store(bytes);
  for (let kill = 0; kill < 2; kill++) {
    const before = device.pid!;
    const all = Promise.all([3, 4, 5, 6].map((n) => device.client.factorial(n)));
    Deno.kill(before, "SIGKILL");
    assertEquals(await all, [6, 24, 120, 720]);
    assert(await soon(() => device.pid !== before), "no new process came");
  }
  // The device kept what it had: nothing has reset it.
  assertEquals(await device.client.load(1024), bytes);
});

qemuTest(
  "a device of a class that the kernel was not given is attached, described and stopped #core:unknown_class",
  async () => {
    using brought = await copied("edu");
    await using kernel = await openKernel({
      machine: "qemu",
      qemu: { arguments: ["-device", "edu"] },
      plugins: [brought.folder],
    });
    const [node] = kernel.nodes.filter(({ manifest }) => manifest?.class === "edu");
    const device = await kernel.attach(node!.function.address);
    assertEquals([device.class, device.client], [undefined, undefined]);
    const { class: name, driver } = await device.describe();
    assertEquals([name, driver], ["edu", "edu"]);
    await assertRejects(() => kernel.attachFirst("edu" as "block"), TypeError, "name");
    await device[Symbol.asyncDispose]();
    assertEquals(await device.gone, undefined);
  },
);

/** Registers that no driver may have, and what is said. */
const WRONG = [
  [{ bar: 3, bytes: 4096 }, "the device has no BAR 3"],
  [{ bar: 0, offset: 0xff000, bytes: 8192 }, "they end at byte 1052672, and BAR 0 has 1048576"],
] as const;

qemuTest(
  "registers that the device does not have are refused with a sentence #core:register_windows",
  async () => {
    for (const [control, says] of WRONG) {
      using brought = await copied("edu");
      const path = `${brought.folder}/plugin.json`;
      const manifest = JSON.parse(Deno.readTextFileSync(path));
      Deno.writeTextFileSync(path, JSON.stringify({ ...manifest, registers: { control } }));
      await using kernel = await openKernel({
        machine: "qemu",
        qemu: { arguments: ["-device", "edu"] },
        classes: { edu: brought.class },
        plugins: [brought.folder],
      });
      await assertRejects(() => kernel.attachFirst("edu"), Error, says);
      assertEquals(kernel.devices, []);
    }
  },
);

qemuTest(
  "a driver that accesses registers outside of its windows fails, and others go on #core:register_windows",
  async () => {
    using brought = await copied("edu");
    const path = `${brought.folder}/mod.ts`;
    const text = Deno.readTextFileSync(path);
    const broken = text.replace("control.read32(Register.identity)", "control.read32(4096)");
    assert(broken !== text);
    Deno.writeTextFileSync(path, broken);
    await using kernel = await openKernel({
      machine: "qemu",
      qemu: { arguments: ["-device", "edu", "-device", "virtio-rng-pci"] },
      classes: { edu: brought.class },
      plugins: [brought.folder],
    });
    const source = await kernel.attachFirst("entropy");
    await assertRejects(() => kernel.attachFirst("edu"), Error, "Cannot access 4 bytes at 4096");
    assertEquals((await source.client.read(64)).length, 64);
  },
);

Deno.test("a class whose lane the driver does not plan ends the attach with a sentence #core:class_lanes", async () => {
  const fussy = defineClass({
    lanes: ["requests", "dreams"],
    open: ({ dreams }) => ({ client: dreams }),
  });
  await using kernel = await openKernel({ machine: "simulated", classes: { entropy: fussy } });
  await assertRejects(
    () => kernel.attachFirst("entropy"),
    TypeError,
    "no lane named dreams, which its class needs; it has requests",
  );
  assertEquals(kernel.devices, []);
});

Deno.test("a property that the driver does not tell as its class wants it ends the attach with a sentence #core:class_properties", async () => {
  const fussy = defineClass({
    lanes: ["requests"],
    properties: { dreams: u32 },
    open: (_, { dreams }) => ({ client: dreams }),
  });
  await using kernel = await openKernel({ machine: "simulated", classes: { entropy: fussy } });
  await assertRejects(
    () => kernel.attachFirst("entropy"),
    TypeError,
    "Cannot use the property dreams of the driver random: it is undefined, " +
      "wanted a whole number, 0 to 4294967295",
  );
  assertEquals(kernel.devices, []);
});
