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
    const { findDrivers } = await import("./mod.ts");
    return findDrivers(folders);
  },
  async importModule(place) {
    const { fileUrl } = await import("./core/linux/mod.ts");
    return await import(URL.canParse(place) ? place : fileUrl(place));
  },
  async openKernel(options) {
    const { openKernel } = await import("./mod.ts");
    return await openKernel(options);
  },
  async rebind(request) {
    const { rebind } = await import("./machine/mod.ts");
    return rebind(request);
  },
  async loadServing() {
    return await import("./serving.ts");
  },
  async writeFolder(folder, files) {
    const { writeFolder } = await import("./core/linux/mod.ts");
    writeFolder(folder, files);
  },
  async loadClasses() {
    const { CLASSES } = await import("./mod.ts");
    return CLASSES;
  },
  async loadTesting() {
    return await import("./testing/mod.ts");
  },
  async loadConform() {
    return await import("./conform/mod.ts");
  },
  async loadWatch() {
    return await import("./watch/mod.ts");
  },
  async diagnose() {
    const { diagnose, walls } = await import("./machine/mod.ts");
    return [...diagnose(), ...walls()];
  },
  async walls() {
    const { walls } = await import("./machine/mod.ts");
    return walls();
  },
};

// What modules of the user's print in this program is talk: the standard output is for data.
console.log = console.info = console.debug = console.error;
Deno.exit(await run(Deno.args, processIo(system, import.meta.url)));
