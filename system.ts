// What commands use of the other modules, loaded when one of them does.

import type { System } from "./cli/system.ts";

/** The core. Loaded at first use: help and wrong command lines do not need it. */
export const system: System = {
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
