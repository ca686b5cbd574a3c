/**
 * `deno task publish`: publishes the packages to JSR, those first that others need. What is published already is skipped, so
 * that it can be said again after a failure. `deno task publish:dry` publishes to a registry of its own on the loopback,
 * which goes afterwards.
 *
 * @module
 */

import { PACKAGES, publish, settings } from "./publish.ts";
import { openRegistry } from "./registry.ts";

const args = Deno.args.filter((arg) => arg !== "--here");
if (args.length === Deno.args.length) {
  await publish({ args, print: console.log });
  console.log(
    "What JSR's score asks for and no package can say itself (provenance: GitHub Actions publishes):",
  );
  for (const each of PACKAGES) console.log(settings(each));
} else {
  await using registry = await openRegistry();
  await publish({ args: [...args, "--token=none"], registry: registry.url, print: console.log });
}
