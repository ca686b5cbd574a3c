/**
 * The command line: `deno run --allow-ffi main.ts`.
 *
 * @module
 */

import { run } from "./cli/main.ts";
import { processIo } from "./cli/process_io.ts";
import type { System } from "./cli/system.ts";

/** The core. Loaded at first use: help and wrong command lines do not need it. */
const system: System = {
  async loadDrivers(folders) {
    const [{ loadPlugin }, { DRIVERS }] = await Promise.all([
      import("./core/kernel/load_plugin.ts"),
      import("./drivers.ts"),
    ]);
    return [...folders.map(loadPlugin), ...DRIVERS];
  },
  async openKernel(options) {
    const { openKernel } = await import("./mod.ts");
    return await openKernel(options);
  },
  async rebind(request) {
    const { rebind } = await import("./core/platform/vfio/bind.ts");
    return rebind(request);
  },
  async loadServing() {
    return await import("./serving.ts");
  },
  async loadModel(url) {
    const { modelOf } = await import("./serving.ts");
    return modelOf(await import(url));
  },
  async diagnose() {
    const { diagnose } = await import("./core/platform/vfio/doctor.ts");
    const { walls } = await import("./core/kernel/walls.ts");
    return [...diagnose(), ...walls()];
  },
  async walls() {
    const { walls } = await import("./core/kernel/walls.ts");
    return walls();
  },
};

Deno.exit(await run(Deno.args, processIo(system)));
