/**
 * Every device that there is a driver for, behind the IOMMU and all at work at once: by MSI-X and by the pin, with split and with
 * packed rings.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { checkDevice } from "../../cli/check/check.ts";
import { openKernel } from "../../mod.ts";
import { address, check } from "./support/job.ts";
import { reportFindings, type Target } from "./support/drive.ts";

const TARGETS: readonly Target[] = [
  ["rng"],
  ["blk", "blk"],
  ["rng packed"],
  ["blk packed", "packed"],
  ["rng intx"],
  ["blk intx", "intx"],
  ["net"],
  ["console"],
  ["scsi"],
  ["balloon intx"],
  ["nvme", "nvme"],
];

await using kernel = await openKernel({ machine: "local" });
for (const target of TARGETS) {
  const [name] = target;
  const attaching = kernel.attach(address(name));
  await check(`${name}: rings, interrupts and registers are as wanted`, async () => {
    const { interrupts, transport, queues } = await (await attaching).describe();
    const found = [transport, interrupts, ...new Set(queues.map(({ kind }) => kind))];
    const virtio = [
      "modern",
      name.endsWith("intx") ? "intx" : "msix",
      name.endsWith("packed") ? "packed" : "split",
    ];
    assertEquals(found, name === "nvme" ? ["pci", "msix"] : virtio);
    return found.join(", ");
  });
  await check(`${name}: check`, async () => {
    const result = await checkDevice(await attaching, { write: true });
    reportFindings(target, result);
    return result.summary;
  });
}
