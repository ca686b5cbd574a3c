/**
 * Every device that there is a driver for, behind the IOMMU: by MSI-X and by its pin, with split and with packed rings.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { openKernel } from "../../mod.ts";
import { address, check } from "./support/job.ts";
import { drive, type Target } from "./support/drive.ts";

const TARGETS: readonly Target[] = [
  ["rng"],
  ["blk", "blk"],
  ["rng packed"],
  ["blk packed", "packed"],
  ["rng intx"],
  ["blk intx", "intx"],
];

await drive(TARGETS);

await using kernel = await openKernel({ machine: "host" });
for (const [name] of TARGETS) {
  await check(`${name}: rings and interrupts are of the kind that it was made for`, async () => {
    await using device = await kernel.attach(address(name));
    const { interrupts, transport, queues } = await device.describe();
    const rings = new Set(queues.map(({ kind }) => kind));
    const wanted = [
      name.endsWith("intx") ? "intx" : "msix",
      name.endsWith("packed") ? "packed" : "split",
    ];
    assertEquals([interrupts, ...rings], wanted);
    assertEquals(transport, "modern");
    return `${interrupts}, ${[...rings]}`;
  });
}
