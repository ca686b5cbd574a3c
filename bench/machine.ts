/**
 * What the benchmark runs on.
 *
 * @module
 */

import { unpacked } from "../tools/unpacked.ts";
import type { Machine } from "./measurement.ts";

/** What a program prints, or nothing. */
async function said(program: string | undefined, ...args: readonly string[]): Promise<string> {
  try {
    if (program === undefined) return "";
    const { stdout } = await new Deno.Command(program, { args: [...args], stderr: "null" })
      .output();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "";
  }
}

/** testpmd says its version when it starts only. */
const TESTPMD = ["-v", "--no-huge", "--in-memory"];

/** This machine. */
export async function thisMachine(): Promise<Machine> {
  const version = (text: string) => /\d+(\.\d+)+/.exec(text)?.[0];
  const programs = {
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    gcc: version((await said("gcc", "--version")).split("\n")[0]!),
    QEMU: version(await said("qemu-system-x86_64", "--version")),
    DPDK: /DPDK (\d+(\.\d+)+)/.exec(await said(unpacked("testpmd"), ...TESTPMD))?.[1],
    nbdkit: version(await said(unpacked("nbdkit"), "--version")),
    fio: version(await said("fio", "--version")),
  };
  const known = Object.entries(programs).filter(([, version]) => version !== undefined);
  return {
    processor: /^model name\s*:\s*(.*)$/m.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1] ??
      Deno.build.arch,
    processors: navigator.hardwareConcurrency,
    memoryMiB: Math.round(Deno.systemMemoryInfo().total / 2 ** 20),
    kernel: Deno.osRelease(),
    programs: Object.fromEntries(known) as Record<string, string>,
  };
}

/** The commit of the tree. */
export async function revision(): Promise<string> {
  const tree = ["-C", import.meta.dirname!];
  const commit = await said("git", ...tree, "rev-parse", "--short", "HEAD");
  const changed = await said("git", ...tree, "status", "--porcelain", "--untracked-files=no");
  return commit && changed ? `${commit}+` : commit;
}
