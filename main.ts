/**
 * The command line: `deno run --allow-ffi main.ts`.
 *
 * @module
 */

import { run } from "./cli/main.ts";
import { processIo } from "./cli/process_io.ts";
import type { System } from "./cli/system.ts";
import { InterruptLoop } from "./core/irq/interrupt_loop.ts";
import { Kernel } from "./core/kernel/kernel.ts";
import { loadPlugin } from "./core/kernel/load_plugin.ts";
import { DRIVERS } from "./drivers.ts";
import { openMachine } from "./mod.ts";

/** What the commands work with. */
const system: System = {
  loadDrivers: (folders) => [...folders.map(loadPlugin), ...DRIVERS],
  async openKernel({ machine, board, qemuArguments, drivers, ...options }) {
    const loop = new InterruptLoop();
    const platform = await openMachine(machine, loop);
    return new Kernel({ loop, platform, drivers }, options);
  },
};

Deno.exit(await run(Deno.args, processIo(system)));
