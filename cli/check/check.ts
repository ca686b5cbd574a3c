import type { AnyDevice } from "../../core/kernel/device.ts";
import { checkBlock } from "./block.ts";
import { checkEntropy } from "./entropy.ts";
import type { CheckOptions, Result } from "./result.ts";

/** Puts a device to work and looks at what comes of it. The one place that knows all classes. */
export function checkDevice(device: AnyDevice, options: CheckOptions): Promise<Result> {
  switch (device.class) {
    case "entropy":
      return checkEntropy(device.client, options);
    case "block":
      return checkBlock(device.client, options);
  }
}
