import type { Device } from "../system.ts";
import { checkBlock } from "./block.ts";
import { checkEntropy } from "./entropy.ts";
import type { CheckOptions, Result } from "./result.ts";

/** Puts a device to work and looks at what comes of it. The one place that knows all classes. */
export function checkDevice(device: Device, options: CheckOptions): Promise<Result> {
  switch (device.class) {
    case "entropy":
      return checkEntropy(device.client, options);
    case "block":
      return checkBlock(device.client, options);
  }
}
