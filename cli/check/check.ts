import type { AnyDevice, ClassName, Clients } from "../../classes.ts";
import { checkBalloon } from "./balloon.ts";
import { checkBlock, readBehind } from "./block.ts";
import { checkConsole } from "./console.ts";
import { checkEntropy } from "./entropy.ts";
import { checkNetwork } from "./network.ts";
import type { CheckOptions, Result } from "./result.ts";
import { checkScsi } from "./scsi.ts";

type Check<C extends ClassName> = (client: Clients[C], options: CheckOptions) => Promise<Result>;

/** The one place that knows all classes. */
const CHECKS: { readonly [C in ClassName]: Check<C> } = {
  entropy: checkEntropy,
  block: (client, options) => checkBlock(client, options, () => readBehind(client)),
  network: checkNetwork,
  scsi: checkScsi,
  balloon: checkBalloon,
  console: checkConsole,
};

/** Puts a device to work and looks at what comes of it. */
export async function checkDevice(device: AnyDevice, options: CheckOptions): Promise<Result> {
  if (device.class !== undefined) {
    return await (CHECKS[device.class] as Check<ClassName>)(device.client, options);
  }
  const { class: name, queues } = await device.describe();
  return {
    findings: [],
    figures: {},
    nothing: true,
    summary:
      `at work with ${queues.length} queues; nothing here knows how to use its class, ${name}`,
  };
}
