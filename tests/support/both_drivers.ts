/**
 * A program with `--allow-ffi` and no other permission: uses both devices of a simulated machine.
 *
 * @module
 */

import { openKernel } from "../../mod.ts";

if (import.meta.main) {
  await using kernel = await openKernel({ machine: "simulated" });
  const random = await kernel.attachFirst("entropy");
  const disk = await kernel.attachFirst("block");
  await disk.client.write(0, await random.client.read(4096));
  await disk.client.flush();
  await disk.client.read(0, 4096);
  console.log("done");
}
