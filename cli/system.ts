/**
 * What the commands need of the core, in one place: `main.ts` hands the real thing in, tests a fake.
 *
 * @module
 */
import type { Binding, BindRequest, Diagnosis } from "../machine/mod.ts";
import type { CLASSES, Kernel as WholeKernel, OpenOptions, PluginSource } from "../mod.ts";
import type { Exports } from "./modules.ts";
import type * as conform from "../conform/mod.ts";
import type * as serving from "../serving.ts";
import type * as testing from "../testing/mod.ts";
import type * as watching from "../watch/mod.ts";

/** The devices that can be served, and what serves them. */
export type Serving = typeof serving;

/** What drivers are tested with. */
export type Testing = typeof testing;

/** What looks at machines at work. */
export type Watching = typeof watching;

/** What devices are checked with. */
export type Conform = typeof conform;

/** The core, as far as the commands know it. */
export interface System {
  /**
   * The drivers in these folders, and after them our own.
   *
   * @throws {ManifestError} If a manifest is wrong.
   */
  loadDrivers(folders: readonly string[]): Promise<readonly PluginSource[]>;
  /**
   * Imports a module of the user's, which runs in this program and with its rights.
   *
   * @param place Its path or URL.
   */
  importModule(place: string): Promise<Exports>;
  /** Opens a machine, and a kernel for it with the drivers of {@linkcode System.loadDrivers}. */
  openKernel(options: OpenOptions): Promise<Kernel>;
  /** Hands functions of this machine to a driver for programs, or back to the kernel. */
  rebind(request: BindRequest): Promise<readonly Binding[]>;
  /** Looks whether devices of this machine can be driven. */
  diagnose(): Promise<readonly Diagnosis[]>;
  /** What the command `serve` works with. */
  loadServing(): Promise<Serving>;
  /**
   * Writes files, texts by their names, into a folder that is made for them, or is there and empty.
   *
   * @throws {Error} If something else is there.
   */
  writeFolder(folder: string, files: Readonly<Record<string, string>>): Promise<void>;
  /** The device classes that need not be brought, by their names. */
  loadClasses(): Promise<typeof CLASSES>;
  /** What the command `conform driver` works with. */
  loadTesting(): Promise<Testing>;
  /** What looks at machines at work, in this program and others. */
  loadWatch(): Promise<Watching>;
  /** What the command `conform device` works with. */
  loadConform(): Promise<Conform>;
  /** Looks at what keeps a driver in its process here; part of the diagnosis. */
  walls(): Promise<readonly Diagnosis[]>;
}

/** A kernel, as far as the commands know it. */
export type Kernel = Pick<
  WholeKernel,
  "nodes" | "machine" | "loop" | "attach" | typeof Symbol.asyncDispose
>;
