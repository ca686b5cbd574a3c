/**
 * Sources of random bytes.
 *
 * @module
 */

import { defineClass, type DeviceClass } from "../../core/class/mod.ts";
import { checkEntropy } from "./check.ts";
import { EntropyClient } from "./client.ts";

/** A source of random bytes. */
export const entropy: DeviceClass<EntropyClient> = defineClass({
  lanes: ["requests"],
  open: EntropyClient.open,
  check: checkEntropy,
});

export type { EntropyClient, EntropySource, EntropyState } from "./client.ts";
export type { EntropyTest } from "./health.ts";
export { mixEntropy, type MixOptions } from "./mix_entropy.ts";
