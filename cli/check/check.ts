import type { Clients } from "../../core/class/clients.ts";
import type { AnyDevice } from "../../core/kernel/device.ts";
import type { DeviceClass } from "../../core/plugin/manifest.ts";
import { checkBalloon } from "./balloon.ts";
import { checkBlock, readBehind } from "./block.ts";
import { checkConsole } from "./console.ts";
import { checkEntropy } from "./entropy.ts";
import { checkNetwork } from "./network.ts";
import type { CheckOptions, Result } from "./result.ts";
import { checkScsi } from "./scsi.ts";

type Check<C extends DeviceClass> = (client: Clients[C], options: CheckOptions) => Promise<Result>;

/** The one place that knows all classes. */
const CHECKS: { readonly [C in DeviceClass]: Check<C> } = {
  entropy: checkEntropy,
  block: (client, options) => checkBlock(client, options, () => readBehind(client)),
  network: checkNetwork,
  scsi: checkScsi,
  balloon: checkBalloon,
  console: checkConsole,
};

/** Puts a device to work and looks at what comes of it. */
export function checkDevice(device: AnyDevice, options: CheckOptions): Promise<Result> {
  return (CHECKS[device.class] as Check<DeviceClass>)(device.client, options);
}
