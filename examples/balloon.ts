/**
 * Gives memory to a host as it asks for it, and takes some back when memory is short.
 *
 *     deno run --allow-ffi examples/balloon.ts
 *
 * @module
 */

import { BalloonModel } from "@virtio/balloon/model";
import { openKernel } from "../mod.ts";

if (import.meta.main) {
  // A host that wants 1000 pages of 4096 bytes.
  const host = new BalloonModel({ pages: 1000 });
  await using kernel = await openKernel({ machine: "simulated", devices: [host] });
  const { client: balloon } = await kernel.attachFirst("balloon");

  await balloon.settled();
  console.log(`The host wants 1000 pages and has ${host.inflated.size}`);

  console.log(`${await balloon.reclaim(200)} came back, the host has ${host.inflated.size}`);

  host.want(500);
  for await (const { requested, actual } of balloon.changes()) {
    if (requested === 500 && actual === 500) break;
  }
  console.log(`Now it wants 500 and has ${host.inflated.size}`);
}

// prints: The host wants 1000 pages and has 1000
// prints: 200 came back, the host has 800
// prints: Now it wants 500 and has 500
