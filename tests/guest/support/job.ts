/**
 * What jobs share: how they tell the test what they found, and how they run the program.
 *
 * @module
 */

import { addressOf, type GuestMachine } from "../../../tools/guest/machine.ts";
import { MACHINES } from "../machines.ts";

const machine = MACHINES.find(({ name }) => name === Deno.env.get("machine"));

/** The machine that this job runs in. */
function here(): GuestMachine {
  if (!machine) throw new Error("This is no guest: its environment names no machine");
  return machine;
}

/** The address of a device. */
export function address(name: string): string {
  return addressOf(here(), name);
}

/** QEMU's name of the port that a device is on. */
export function portOf(name: string): string {
  return `port${here().ports.findIndex((each) => each.name === name)}`;
}

/** One line, so that it stays one report. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

/** Tells the test of something that was checked. */
export function report(name: string, passed: boolean, detail = ""): void {
  console.log(`@@CHECK ${oneLine(name)} ${passed ? "ok" : "FAIL"} ${oneLine(detail)}`);
}

/** Checks something: it passes with what `body` returns, or fails with what it throws. The job goes on. */
export async function check(
  name: string,
  body: () => string | void | Promise<string | void>,
): Promise<void> {
  try {
    report(name, true, await body() ?? "");
  } catch (error) {
    report(name, false, error instanceof Error ? error.message : String(error));
  }
}

/** Has the test look into the image of a disk, after the end. */
export function diskHolds(id: string, offset: number, length: number, sha256: string): void {
  console.log(`@@DISK ${id} ${offset} ${length} ${sha256}`);
}

/** Gives QEMU a command. What comes of it has to be seen from within; if QEMU refuses it, the test fails. */
export function monitor(execute: string, args: Readonly<Record<string, unknown>>): void {
  console.log(`@@QMP ${JSON.stringify({ execute, arguments: args })}`);
}

/** Says that the IOMMU will have to stop a device in this job. */
export function provokeFaults(): void {
  console.log("@@PROVOKE");
}

/** How a run of the program ended. */
export interface Run {
  /** Exit status. */
  readonly code: number;
  /** What it printed. */
  readonly stdout: string;
  /** What it said. */
  readonly stderr: string;
}

const DENO = ["run", "--quiet", "--no-check", "--no-prompt", "--allow-ffi", "main.ts"];

/** Runs the program as people do, with its only permission. */
export function program(...args: readonly string[]): Promise<Run> {
  return run("deno", [...DENO, ...args]);
}

/**
 * Runs the program as a user other than root.
 *
 * @param memlock How much memory that user may lock, in KiB.
 */
export function programOfUser(memlock: number, ...args: readonly string[]): Promise<Run> {
  const script = 'ulimit -l "$0" && exec deno "$@"';
  return run("sh", ["-c", script, `${memlock}`, ...DENO, ...args], { uid: USER, gid: USER });
}

/** Runs a line of shell. */
export async function sh(line: string): Promise<void> {
  const { code, stdout, stderr } = await run("sh", ["-c", line]);
  if (code !== 0) throw new Error(`${line}: exit status ${code}: ${stdout}${stderr}`);
}

/** The user id of that user. */
export const USER = 1000;

async function run(
  command: string,
  args: readonly string[],
  options: Deno.CommandOptions = {},
): Promise<Run> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    ...options,
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Waits until something is so. */
export async function until(
  what: string,
  condition: () => boolean,
  milliseconds = 20_000,
): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
