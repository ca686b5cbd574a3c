/**
 * Gives memory to a hypervisor as it asks for it, and takes some back when memory is short.
 *
 *     deno run --allow-ffi examples/balloon.ts
 *
 * @module
 */

import { BalloonModel } from "@virtio/balloon/model";
import { openKernel } from "../mod.ts";

if (import.meta.main) {
  // A hypervisor that wants 1000 pages of 4096 bytes.
  const hypervisor = new BalloonModel({ pages: 1000 });
  await using kernel = await openKernel({ machine: "simulated", devices: [hypervisor] });
  const { client: balloon } = await kernel.attachFirst("balloon");

  await balloon.settled();
  console.log(`The hypervisor wants 1000 pages and has ${hypervisor.inflated.size}`);

  console.log(
    `${await balloon.reclaim(200)} came back, the hypervisor has ${hypervisor.inflated.size}`,
  );

  hypervisor.want(500);
  for await (const { requested, actual } of balloon.changes()) {
    if (requested === 500 && actual === 500) break;
  }
  console.log(`Now it wants 500 and has ${hypervisor.inflated.size}`);
}

// prints: The hypervisor wants 1000 pages and has 1000
// prints: 200 came back, the hypervisor has 800
// prints: Now it wants 500 and has 500
