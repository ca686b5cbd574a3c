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
  open({ requests }) {
    const client = new EntropyClient(requests);
    return { client, close: () => client.close() };
  },
  check: checkEntropy,
});
