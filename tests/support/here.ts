/**
 * The program in this process: with the real core, and a world around it that a test looks at.
 *
 * @module
 */

import { CliError, EXIT, type ExitCode } from "../../cli/exit.ts";
import { run } from "../../cli/main.ts";
import type { System } from "../../cli/system.ts";
import * as conform from "../../conform/mod.ts";
import { fileUrl, writeFolder } from "../../core/linux/mod.ts";
import { diagnose, pciNames, walls } from "../../machine/mod.ts";
import { CLASSES, findDrivers, openKernel } from "../../mod.ts";
import * as serving from "../../serving.ts";
import * as testing from "../../testing/mod.ts";
import * as watching from "../../watch/mod.ts";
import "./libc.ts";

const SYSTEM: System = {
  loadDrivers: (folders) => Promise.resolve(findDrivers(folders)),
  importModule: (place) => import(URL.canParse(place) ? place : fileUrl(place)),
  openKernel,
  rebind: () => Promise.reject(new Error("A test takes no device of this machine")),
  diagnose: () => Promise.resolve(diagnose()),
  walls: () => Promise.resolve(walls()),
  loadServing: () => Promise.resolve(serving),
  loadConform: () => Promise.resolve(conform),
  loadTesting: () => Promise.resolve(testing),
  loadWatch: () => Promise.resolve(watching),
  loadClasses: () => Promise.resolve(CLASSES),
  // deno-lint-ignore require-await -- so that errors are rejections
  writeFolder: async (folder, files) => writeFolder(folder, files),
};

/** How a run differs from the usual one. */
export interface Here {
  readonly system?: Partial<System>;
  /** Whether to end it, as Ctrl-C does, as soon as it has printed something. */
  readonly endless?: boolean;
}

/** What a run left behind. */
export interface RanHere {
  readonly exit: ExitCode;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line here. */
export async function runHere(
  args: readonly string[],
  { system = {}, endless = false }: Here = {},
): Promise<RanHere> {
  const end = new AbortController();
  const decoder = new TextDecoder();
  let out = "", err = "";
  const print = (text: string) => {
    out += text;
    if (endless) queueMicrotask(() => end.abort(new CliError(EXIT.interrupted, "Ended by SIGINT")));
    return true;
  };
  const exit = await run(args, {
    out: (line) => void print(`${line}\n`),
    write: (bytes) => print(decoder.decode(bytes)),
    err: (line) => void (err += `${line}\n`),
    terminal: false,
    columns: undefined,
    side: undefined,
    program: "virtio",
    input: { terminal: false, read: () => Promise.resolve(null), raw() {} },
    environment: {},
    denoVersion: Deno.version.deno,
    signal: end.signal,
    system: { ...SYSTEM, ...system },
    names: pciNames,
  });
  return { exit, out, err };
}
