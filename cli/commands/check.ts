import { Status } from "../../core/class/lane.ts";
import type { AnyDevice } from "../../core/kernel/device.ts";
import type { Node } from "../../core/kernel/kernel.ts";
import { checkDevice } from "../check/check.ts";
import type { Finding, Result } from "../check/result.ts";
import type { Command, Context } from "../command.ts";
import { WRITE_OPTION } from "../disk.ts";
import { CliError, EXIT, type ExitCode, exitCode, messageOf } from "../exit.ts";
import { machineJson, nodeJson, printJson } from "../json.ts";
import { firstLine, printable } from "../printable.ts";
import { attach, findNode, isDrivable, openKernel } from "../kernel.ts";
import type { Kernel } from "../system.ts";
import { where } from "./show.ts";

/** How the check of one device ended. */
type Outcome =
  | { readonly kind: "no driver" }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "error"; readonly device?: AnyDevice; readonly error: unknown }
  | {
    readonly kind: "passed" | "failed";
    readonly device: AnyDevice;
    readonly result: Result;
    readonly failed: readonly Finding[];
  };

/** Puts devices to work. */
export const check: Command = {
  name: "check",
  summary: "Put devices to work, and check what they do",
  usage: "[address...]",
  words: [0, Infinity],
  options: [WRITE_OPTION],
  examples: [
    ["check", "all devices of this machine that may be driven"],
    ["check --machine simulated", "those of a machine made of device models; needs nothing"],
    ["check --machine qemu", "those of a QEMU machine, with a disk in memory"],
    ["check --machine qemu --board pc --json", "another board, and output for programs"],
    ["check 00:02.0 --isolation inline", "one device, its driver in this process"],
  ],
  notes: [
    "Disks of qemu and simulated machines are WRITTEN: up to 2 MiB in the middle of each are overwritten",
    "with a pattern that stays there; its offset, length and SHA-256 are printed. That includes an image",
    "of yours that you give to QEMU after --, unless it is read-only (-blockdev ...,read-only=on) or you",
    "name the addresses of other devices. On this machine (host) disks are only read, unless --write.",
    "",
    "QEMU without arguments after -- has an entropy source and a disk of 64 MiB in memory, and no file.",
    "A device without a driver is no failure.",
  ],
  run: async (context) => {
    await using kernel = await openKernel(context);
    return await checkKernel(context, kernel);
  },
};

/** What the program does without a command: checks this machine, or a simulated one if there is nothing to do. */
export async function checkAnything(context: Context): Promise<ExitCode> {
  if (context.options.machine !== undefined) return await check.run(context);
  {
    await using kernel = await openKernel(context);
    if (kernel.nodes.some(isDrivable)) return await checkKernel(context, kernel);
    const { length } = kernel.nodes.filter(({ manifest }) => manifest);
    const why = length === 0
      ? `there is none that we have a driver for (${kernel.platform.description})`
      : `${length} would have a driver, ls and explain tell more`;
    context.talk(`No device here may be driven: ${why}. Starting the simulated machine instead`);
  }
  await using kernel = await openKernel(context, "simulated");
  return await checkKernel(context, kernel);
}

async function checkKernel(context: Context, kernel: Kernel): Promise<ExitCode> {
  const { words, options, given, io } = context;
  const { platform } = kernel;
  const named = words.map((word) => findNode(kernel, word));
  const nodes = named.length > 0 ? [...new Set(named)] : kernel.nodes;
  const write = platform.kind !== "host" || given.write === true;
  context.talk(`Checking ${nodes.length} functions of ${platform.description}`);
  const done: (readonly [Node, Outcome])[] = [];
  for (const node of nodes) {
    const outcome = await checkNode(context, kernel, node, write);
    done.push([node, outcome]);
    if (!options.json) printOutcome(context, node, outcome);
  }
  const status = exitStatus(done.map(([, outcome]) => outcome), named.length > 0);
  if (options.json) {
    const names = io.names();
    printJson(context, "check", {
      machine: machineJson(platform),
      passed: status === EXIT.done,
      devices: done.map(([node, outcome]) => ({
        ...nodeJson(node, names),
        ...outcomeJson(outcome),
      })),
    });
  }
  const worked = done.filter(([, { kind }]) => kind !== "no driver" && kind !== "refused").length;
  if (worked === 0) {
    context.talk(
      `No device was checked: none may be driven; explain <address> says why. ` +
        `To see a driver work: --machine simulated`,
    );
  } else if (status === EXIT.done) {
    context.talk(worked === 1 ? "The device passed" : `All ${worked} devices passed`);
  }
  return status;
}

async function checkNode(
  context: Context,
  kernel: Kernel,
  node: Node,
  write: boolean,
): Promise<Outcome> {
  if (!node.manifest) return { kind: "no driver" };
  const { refusal, address } = node.function;
  if (refusal !== undefined) return { kind: "refused", reason: refusal };
  let device: AnyDevice | undefined;
  try {
    device = await attach(context, kernel, node);
    const result = await context.until(checkDevice(device, { write }));
    for (const { name, passed, detail } of result.findings) {
      context.detail(`${address} ${passed ? "ok" : "NOT ok"}: ${name}: ${detail}`);
    }
    const failed = result.findings.filter(({ passed }) => !passed);
    return { kind: failed.length > 0 ? "failed" : "passed", device, result, failed };
  } catch (error) {
    // One broken device must not keep us from the others; the end of the time must.
    context.signal.throwIfAborted();
    if (!device) return { kind: "error", error };
    return { kind: "error", device, error: await withReason(context, device, error) };
  } finally {
    // The next one may need the memory.
    await device?.[Symbol.asyncDispose]();
  }
}

/** A request that ended because its driver is gone does not know why; the device does. */
async function withReason(context: Context, device: AnyDevice, error: unknown): Promise<unknown> {
  const { message, status } = error as { readonly message: string; readonly status?: unknown };
  if (!(error instanceof Error) || status !== Status.gone) return error;
  const reason = await context.until(device.gone);
  return new CliError(EXIT.driver, `${message}: ${reason}`, { cause: error });
}

/** The first failure decides. That nothing at all was checked must not look like success either. */
function exitStatus(outcomes: readonly Outcome[], named: boolean): ExitCode {
  for (const outcome of outcomes) {
    if (outcome.kind === "error") return exitCode(outcome.error);
    if (outcome.kind === "failed") return EXIT.failed;
    if (outcome.kind === "refused" && named) return EXIT.refused;
  }
  if (named || outcomes.some(({ kind }) => kind === "passed")) return EXIT.done;
  return outcomes.some(({ kind }) => kind === "refused") ? EXIT.refused : EXIT.notFound;
}

function printOutcome(context: Context, node: Node, outcome: Outcome): void {
  const { io, style } = context;
  const { address } = node.function;
  const { manifest, identity } = node;
  switch (outcome.kind) {
    case "no driver": {
      const what = identity.virtio ? `VirtIO ${identity.virtio.name}` : "not VirtIO";
      return io.out(style.faint(`${address} no driver (${what})`));
    }
    case "refused":
      return io.out(style.faint(`${address} ${manifest?.name} refused: ${outcome.reason}`));
    case "error": {
      const said = messageOf(outcome.error);
      context.detail(`${address} ${manifest?.name} failed: ${said}`);
      const failed = style.bad("failed");
      return io.out(`${address} ${manifest?.name} ${failed}: ${printable(firstLine(said))}`);
    }
    case "passed":
    case "failed": {
      const { device, result, failed } = outcome;
      const verdict = outcome.kind === "passed" ? style.good("passed") : style.bad("failed");
      const reasons = failed.map(({ name, detail }) => `${name}: ${detail}`);
      const said = [...reasons, result.summary].join("; ");
      return io.out(
        `${address} ${device.driver} (${where(device)}) ${verdict}: ${printable(said)}`,
      );
    }
  }
}

function outcomeJson(outcome: Outcome): object {
  const none = { isolation: null, pid: null, findings: [], figures: {}, error: null };
  const at = (device?: AnyDevice) =>
    device ? { isolation: device.isolation, pid: device.pid ?? null } : {};
  switch (outcome.kind) {
    case "no driver":
    case "refused":
      return { outcome: outcome.kind, ...none };
    case "error": {
      const { error, device } = outcome;
      const message = messageOf(error);
      return {
        outcome: "failed",
        ...none,
        ...at(device),
        error: { exit: exitCode(error), message },
      };
    }
    case "passed":
    case "failed": {
      const { device, result: { findings, figures } } = outcome;
      return { outcome: outcome.kind, ...none, ...at(device), findings, figures };
    }
  }
}
