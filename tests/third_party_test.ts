/**
 * A device that the project does not know, brought by a third party: class, driver and all, in a folder outside.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { defineClass, u32 } from "../core/class/mod.ts";
import { openKernel } from "../mod.ts";
import "./support/libc.ts";
import { copied } from "./support/third_party.ts";
import { qemuTest } from "./support/machine.ts";

qemuTest(
  "a device of a class that the kernel was not given is attached, described and stopped #core:unknown_class",
  async () => {
    using folder = copied("edu");
    await using kernel = await openKernel({
      machine: "qemu",
      qemu: { arguments: ["-device", "edu"] },
      plugins: [folder.folder],
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
