/**
 * Devices whose accesses the IOMMU does not see, although the kernel put them behind it: refused, unless the user insists.
 *
 * @module
 */

import { assertRejects } from "@std/assert";
import { checkDevice } from "../../cli/check/check.ts";
import { openKernel } from "../../mod.ts";
import { address, check, sh } from "./support/job.ts";

const NAMES = ["rng that bypasses", "transitional rng"];

{
  await using kernel = await openKernel({ machine: "local" });
  for (const name of NAMES) {
    await check(`${name}: refused, and the message says how to make it safe`, async () => {
      const attaching = () => kernel.attach(address(name));
      return (await assertRejects(attaching, Error, "bypass the IOMMU")).message;
    });
  }
}
await sh("echo 16 > /proc/sys/vm/nr_hugepages");
await using kernel = await openKernel({ machine: "local", unsafeDma: true });
for (const name of NAMES) {
  await check(`${name}: works from huge pages`, async () => {
    await using device = await kernel.attach(address(name));
    const { findings, summary } = await checkDevice(device, { write: false });
    const failed = findings.filter(({ passed }) => !passed);
    if (failed.length > 0) throw new Error(JSON.stringify(failed));
    return summary;
  });
}
