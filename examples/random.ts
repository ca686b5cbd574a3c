/**
 * Mixes two entropy devices, one of which is broken in a way that its bytes alone do not show.
 *
 *     deno run --allow-ffi examples/random.ts
 *
 * @module
 */

import { mixEntropy } from "../classes/entropy/mod.ts";
import { EntropyModel } from "@virtio/random/model";
import { openKernel } from "../mod.ts";

if (import.meta.main) {
  const devices = [new EntropyModel(), new EntropyModel({ repeats: true })];
  await using kernel = await openKernel({ machine: "simulated", devices });
  const { client: good } = await kernel.attachFirst("entropy");
  const { client: bad } = await kernel.attachFirst("entropy");

  console.log(`A good source gave ${(await good.read(1000)).length} bytes`);

  const reason = await bad.read(100_000).then(() => "nothing", (error: Error) => error.message);
  console.log(reason);
  console.log(`Its health: ${bad.health.state}`);

  // One of them must do; the operating system's own bytes go in as well.
  const key = await mixEntropy([good, bad], { least: 1 }).read(32);
  console.log(`A key of ${key.length} bytes from what is left`);
}

// prints: A good source gave 1000 bytes
// prints: 8 bad answers in a row, the last one failed the test "earlier answer again"
// prints: Its health: failed
// prints: A key of 32 bytes from what is left
