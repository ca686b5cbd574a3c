import type { AnyDevice } from "../../mod.ts";
import { type CheckOptions, type CheckResult, count, type Finding } from "../../core/class/mod.ts";

/** Puts a device to work and looks at what comes of it: as its class does, else as far as the core can. */
export async function checkDevice(
  device: AnyDevice,
  options: CheckOptions,
): Promise<CheckResult> {
  if (device.check) return await device.check(options);
  options.step?.("looking at it");
  const { class: name, restarts, queues } = await device.describe();
  const broken = queues.filter((queue) => queue.broken);
  const findings: Finding[] = [{
    name: "at work",
    passed: restarts === 0 && broken.length === 0,
    detail: `started anew ${
      count(restarts, "time")
    }, ${broken.length} of ${queues.length} queues broken`,
  }];
  const why = device.class === undefined
    ? `nothing here knows how to use its class, ${name}: --class <module> would bring it`
    : `its class, ${name}, brings no check`;
  return {
    findings,
    figures: { queues: queues.length, restarts },
    summary: `at work with ${count(queues.length, "queue")}; ${why}`,
    nothing: true,
  };
}
