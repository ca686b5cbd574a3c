import { virtioTypeName } from "../../machine/mod.ts";
import type { AnyDevice, Node } from "../../mod.ts";
import { abortable } from "@std/async";
import { type CheckResult, count, type Finding, Status } from "../../core/class/mod.ts";
import { checkDevice } from "../check/check.ts";
import { Steps } from "../check/steps.ts";
import type { Command, Context } from "../command.ts";
import { keepsDisks, WRITE_OPTION } from "../disk.ts";
import { errorJson } from "../error_json.ts";
import { CliError, EXIT, type ExitCode, exitCode, messageOf } from "../exit.ts";
import { deviceJson, machineJson, printJson } from "../json.ts";
import { clipped, wrapped } from "../layout.ts";
import { needsDomain, shortAddress } from "../lspci.ts";
import { firstLine, printable, withPlace } from "../printable.ts";
import { attach, findNode, isDrivable, openKernel, refusedExit } from "../kernel.ts";
import { numberOption } from "../number_option.ts";
import type { Kernel } from "../system.ts";
import { where } from "./show.ts";

/** How the check of one device ended. */
type Outcome =
  | { readonly kind: "no driver" }
  | { readonly kind: "refused"; readonly reason: string }
  | {
    /** `late` if it took too long by itself, `not done` if the program was told to end. */
    readonly kind: "failed" | "late" | "not done";
    readonly device?: AnyDevice;
    readonly error: unknown;
  }
  | {
    readonly kind: "passed" | "failed" | "nothing to check";
    readonly device: AnyDevice;
    readonly result: CheckResult;
    readonly failed: readonly Finding[];
  };

/**
 * Devices that are checked at the same time: more than there are processors, since most wait for something, and not many
 * more, since each has deadlines that count from its start.
 */
const AT_ONCE = Math.min(8, 2 * navigator.hardwareConcurrency);
/** Seconds that a step of a check may take, unless the user says otherwise. */
const PATIENCE = 30;
/** Milliseconds that a device may take to start at least: the core's own deadlines know better why it does not. */
const START_MS = 60_000;

/** Puts devices to work. */
export const check: Command = {
  name: "check",
  summary: "Put devices to work, and check what they do",
  usage: "[address...]",
  words: [0, Infinity],
  options: [
    {
      name: "patience",
      value: "<seconds>",
      summary: `how long a device may take for one step of its check (${PATIENCE})`,
    },
    WRITE_OPTION,
  ],
  examples: [
    ["check", "all devices of this machine that may be driven"],
    ["check --machine simulated", "those of a machine made of device models; needs nothing"],
    ["check --machine qemu", "those of a QEMU machine, a device for each driver"],
    ["check --machine qemu --board pc --json", "another board, and output for programs"],
    ["check 00:02.0 --isolation inline", "one device, its driver in this process"],
    ["check --plugins mine --class mine/class.ts", "devices of a driver and a class of others"],
  ],
  notes: [
    "Disks of qemu and simulated machines are WRITTEN: up to 2 MiB in the middle of each are overwritten",
    "with a pattern that stays there; -v and --json tell its offset, length and SHA-256. That includes an image",
    "of yours that you give to QEMU after --, unless it is read-only (-blockdev ...,read-only=on) or you",
    "name the addresses of other devices. On this machine (local, vhost-user) disks are only read, unless --write.",
    "",
    "QEMU without arguments after -- has six devices and no file: a network card, a disk of 64 MiB in memory,",
    "a console with one port, an entropy source, a memory balloon, and a SCSI adapter with another such disk.",
    "",
    "How a device is checked, its class knows. One of --class brings its own check, and RUNS IN THIS PROGRAM, WITH ITS",
    "RIGHTS; Deno must let the program read it. A device of an unknown class is started, looked at and stopped.",
    "",
    "Devices are checked side by side, two for each processor; each is told of as soon as it is done, in a line, with details by --verbose. One that takes too long",
    "for a step is late, and has not passed; nor has one with nothing to check: a console without ports, a SCSI",
    "adapter without units, an empty disk. A device without a driver is no failure.",
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
      ? `there is none that we have a driver for (${kernel.machine.description})`
      : `${length} would have a driver, ls and explain tell more`;
    context.talk(`No device here may be driven: ${why}. Starting the simulated machine instead`);
  }
  await using kernel = await openKernel(context, "simulated");
  return await checkKernel(context, kernel);
}

async function checkKernel(context: Context, kernel: Kernel): Promise<ExitCode> {
  const { words, options, given, io, signal } = context;
  const { machine } = kernel;
  const named = words.map((word) => findNode(kernel, word));
  const nodes = named.length > 0 ? [...new Set(named)] : kernel.nodes;
  // A machine of other programs has no devices but those that its user wants.
  const isAsked = named.length > 0 || machine.kind === "vhost-user";
  const write = !keepsDisks(kernel) || given.write === true;
  const patience = 1000 * numberOption(context, "patience", {
    usual: PATIENCE,
    least: 0.01,
    greatest: 100_000,
    fraction: true,
  });
  context.talk(`Checking ${count(nodes.length, "function")} of ${machine.description}`);
  const outcomes = new Map<Node, Outcome>();
  const ends: Promise<unknown>[] = [];
  const waiting = nodes.values();
  const inTurn = async () => {
    // All take from one iterator.
    for (const node of waiting) {
      const { outcome, ended } = await checkNode(context, kernel, node, { write, patience });
      ends.push(ended);
      outcomes.set(node, outcome);
      if (!options.json) printOutcome(context, kernel, node, outcome);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, inTurn));
  const done = nodes.map((node) => [node, outcomes.get(node)!] as const);
  const status = exitStatus(done.map(([, outcome]) => outcome), {
    isNamed: named.length > 0,
    isAsked,
    refused: refusedExit(kernel),
  });
  if (options.json) {
    const names = io.names();
    printJson(context, "check", {
      machine: machineJson(machine),
      passed: status === EXIT.done,
      devices: done.map(([node, outcome]) => ({
        ...deviceJson(node, names, "device" in outcome ? outcome.device : undefined),
        ...outcomeJson(outcome),
      })),
    });
  }
  context.talk(summaryOf(done, isAsked));
  // What was late is given back before the machine goes.
  await Promise.all(ends);
  signal.throwIfAborted();
  return status;
}

/** What came of all, in one sentence. */
function summaryOf(done: readonly (readonly [Node, Outcome])[], isAsked: boolean): string {
  const drivable = done.filter(([, { kind }]) => kind !== "no driver");
  const free = drivable.filter(([, { kind }]) => kind !== "refused");
  const worked = isAsked ? drivable : free;
  if (free.length === 0) {
    return "No device was checked: none may be driven; explain <address> says why. " +
      "To see a driver work: --machine simulated";
  }
  const others = worked.filter(([, { kind }]) => kind !== "passed");
  if (others.length === 0) {
    return worked.length === 1 ? "The device passed" : `All ${worked.length} devices passed`;
  }
  const names = others.map(([node, { kind }]) =>
    `${node.function.address} ${node.manifest?.name} (${kind})`
  );
  const passed = worked.length - others.length;
  return `${passed} of ${count(worked.length, "device")} passed; not passed: ${names.join(", ")}`;
}

/** How a check is made. */
interface Manner {
  readonly write: boolean;
  /** Milliseconds for each step. */
  readonly patience: number;
}

/** The outcome of a check, and when the device is given back. */
interface Checked {
  readonly outcome: Outcome;
  readonly ended: Promise<unknown>;
}

/** Checks one device, but waits no longer for it than for its steps, and not after the program was told to end. */
async function checkNode(
  context: Context,
  kernel: Kernel,
  node: Node,
  manner: Manner,
): Promise<Checked> {
  const quick = (outcome: Outcome): Checked => ({ outcome, ended: Promise.resolve() });
  if (!node.manifest) return quick({ kind: "no driver" });
  const { refusal } = node.function;
  if (refusal !== undefined) return quick({ kind: "refused", reason: refusal });
  using steps = new Steps(manner.patience);
  const signal = AbortSignal.any([context.signal, steps.signal]);
  const own: Context = { ...context, signal, until: (promise) => abortable(promise, signal) };
  const work = putToWork(own, kernel, node, manner, steps);
  const ended = work.catch(() => {});
  try {
    return { outcome: await own.until(work), ended };
  } catch (error) {
    if (!signal.aborted) return { outcome: { kind: "failed", error }, ended };
    const told = context.signal.aborted;
    return { outcome: told ? unfinished(steps, context.signal) : late(steps), ended };
  }
}

function late({ now, patience }: Steps): Outcome {
  const message = `after ${patience / 1000} s it was still ${now}; --patience allows more`;
  return { kind: "late", error: new CliError(EXIT.timeout, message) };
}

function unfinished({ now }: Steps, { reason }: AbortSignal): Outcome {
  const error = new CliError(exitCode(reason), `${now}; ${messageOf(reason)}`);
  return { kind: "not done", error };
}

/** Puts a device to work. One broken device must not keep us from the others; the end of the time must. */
async function putToWork(
  context: Context,
  kernel: Kernel,
  node: Node,
  { write }: Manner,
  steps: Steps,
): Promise<Outcome> {
  let device: AnyDevice | undefined;
  try {
    steps.begin("starting");
    steps.allow(Math.max(steps.patience, START_MS));
    device = await attach(context, kernel, node);
    const step = steps.begin;
    const result = await context.until(checkDevice(device, { write, step }));
    const failed = result.findings.filter(({ passed }) => !passed);
    const kind = failed.length > 0 ? "failed" : result.nothing ? "nothing to check" : "passed";
    return { kind, device, result, failed };
  } catch (error) {
    context.signal.throwIfAborted();
    if (!device) return { kind: "failed", error };
    return { kind: "failed", device, error: await withReason(context, device, error) };
  } finally {
    if (!context.signal.aborted) steps.begin("giving it back");
    // Others may need the memory.
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
function exitStatus(
  outcomes: readonly Outcome[],
  { isNamed, isAsked, refused }: {
    readonly isNamed: boolean;
    readonly isAsked: boolean;
    readonly refused: ExitCode;
  },
): ExitCode {
  for (const outcome of outcomes) {
    if ("error" in outcome) return exitCode(outcome.error);
    if (outcome.kind === "failed") return EXIT.failed;
    if (outcome.kind === "nothing to check" && isNamed) return EXIT.failed;
    if (outcome.kind === "refused" && isAsked) return refused;
  }
  const kinds = new Set(outcomes.map(({ kind }) => kind));
  if (isNamed || kinds.has("passed")) return EXIT.done;
  if (kinds.has("nothing to check")) return EXIT.failed;
  return kinds.has("refused") ? refused : EXIT.notFound;
}

/** One line a device; beneath it what is known besides, if the user wants details. */
function printOutcome(context: Context, kernel: Kernel, node: Node, outcome: Outcome): void {
  const { io, style, columns, options: { verbose } } = context;
  const { address } = node.function;
  const withDomain = needsDomain(kernel.nodes.map((each) => each.function.address));
  const names = kernel.nodes.map(({ manifest }) => manifest?.name.length ?? 0);
  const who = `${shortAddress(address, withDomain)} ${
    (node.manifest?.name ?? "-").padEnd(Math.max(...names))
  }`;
  const { kind } = outcome;
  const said = firstLine(printable(reasonOf(node, outcome)));
  const whole = `${who} ${kind}: ${said}`;
  const idle = kind === "no driver" || kind === "refused";
  // What went wrong is told in full.
  const lines = verbose || columns === undefined
    ? [whole]
    : kind === "passed" || idle
    ? [clipped(whole, columns)]
    : wrapped(whole, columns, 4);
  const paint = kind === "passed" ? style.good : idle ? style.faint : style.bad;
  const [first = "", ...rest] = lines;
  const verdict = first.startsWith(`${who} ${kind}`)
    ? `${who} ${paint(kind)}${first.slice(who.length + 1 + kind.length)}`
    : first;
  for (const line of [verdict, ...rest]) io.out(line);
  if (!verbose) return;
  for (const line of detailsOf(outcome)) io.out(style.faint(`  ${printable(line)}`));
}

/** Why it ended as it did. */
function reasonOf({ identity: { virtio } }: Node, outcome: Outcome): string {
  if (outcome.kind === "no driver") {
    return virtio ? `VirtIO ${virtioTypeName(virtio.type)}` : "not VirtIO";
  }
  if (outcome.kind === "refused") return outcome.reason;
  if ("error" in outcome) return withPlace(messageOf(outcome.error)) + anew(outcome.device);
  const { device, result, failed } = outcome;
  const reasons = failed.map(({ name, detail }) => `${name}: ${detail}`);
  return [...reasons, result.summary].join("; ") + anew(device);
}

/** A device that had to be started anew has passed all the same, and it is told. */
function anew(device: AnyDevice | undefined): string {
  const { restarts = 0 } = device ?? {};
  return restarts === 0 ? "" : `; started anew ${count(restarts, "time")}`;
}

/** All that is known besides, as lines. */
function detailsOf(outcome: Outcome): string[] {
  const device = "device" in outcome ? outcome.device : undefined;
  const runs = device ? [`driver: ${where(device)}`] : [];
  if ("error" in outcome) return [...runs, ...messageOf(outcome.error).split("\n").slice(1)];
  if (!("result" in outcome)) return runs;
  const { findings, figures } = outcome.result;
  return [
    ...runs,
    ...findings.map(({ name, passed, detail }) =>
      `${passed ? "ok" : "NOT ok"}: ${name}: ${detail}`
    ),
    ...Object.entries(figures).map(([name, figure]) => `${name}: ${figure}`),
  ];
}

function outcomeJson(outcome: Outcome): object {
  const { kind } = outcome;
  const none = { findings: [], figures: {}, error: null };
  if (kind === "refused") {
    return { outcome: kind, ...none, error: errorJson(new CliError(EXIT.refused, outcome.reason)) };
  }
  if ("error" in outcome) return { outcome: kind, ...none, error: errorJson(outcome.error) };
  if (!("result" in outcome)) return { outcome: kind, ...none };
  const { findings, figures } = outcome.result;
  return { outcome: kind, ...none, findings, figures };
}
