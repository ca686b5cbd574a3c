/**
 * A kernel that is less patient than others, for tests of what never comes. It waits for the same things in the same way.
 *
 * @module
 */

import { CLASSES } from "../../classes.ts";
import { InterruptLoop } from "../../core/irq/interrupt_loop.ts";
import { Kernel as KernelOf } from "../../core/kernel/kernel.ts";
import { loadPlugin } from "../../core/kernel/load_plugin.ts";
import { PATIENCE, type Patience } from "../../core/kernel/patience.ts";
import { openSimulated } from "../../simulation/platform/simulated.ts";
import { DRIVERS, simulatedDevices } from "../../drivers.ts";
import type { Kernel, OpenOptions } from "../../mod.ts";

/** A tenth of what drivers and devices have, as far as it is not the machine that they wait for. */
export const IMPATIENT: Patience = {
  ...PATIENCE,
  reset: 500,
  queueReset: 100,
  look: 50,
  beat: 100,
  life: 900,
};

/** Opens a simulated machine and an impatient kernel for it. */
export function openImpatient(
  options: OpenOptions,
  patience: Partial<Patience> = {},
): Promise<Kernel> {
  const { machine, devices = simulatedDevices(), plugins = [], drivers = [], ...rest } = options;
  if (machine !== "simulated") {
    throw new TypeError("Only a simulated machine need not be waited for");
  }
  const loop = new InterruptLoop();
  const platform = openSimulated({ devices, loop });
  return Promise.resolve(
    new KernelOf({
      loop,
      platform,
      drivers: [...drivers, ...plugins.map(loadPlugin), ...DRIVERS],
      classes: CLASSES,
      patience: { ...IMPATIENT, ...patience },
      close: async () => {
        await platform[Symbol.asyncDispose]();
        await loop[Symbol.asyncDispose]();
      },
    }, rest) as Kernel,
  );
}
