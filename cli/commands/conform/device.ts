import type { Result, Rule, Verdict } from "../../../conform/mod.ts";
import type { Node, TraceSink } from "../../../mod.ts";
import type { Command, Context } from "../../command.ts";
import { keepsDisks, WRITE_OPTION } from "../../disk.ts";
import { errorJson } from "../../error_json.ts";
import { CliError, EXIT, type ExitCode, exitCode, messageOf, usageError } from "../../exit.ts";
import { junitFile, writeText } from "../../conform/junit_file.ts";
import { deviceJson, machineJson, printJson } from "../../json.ts";
import { findNode, openKernel, refusedExit, traceSink } from "../../kernel.ts";
import { numberOption } from "../../number_option.ts";
import { firstLine } from "../../printable.ts";
import { suggest } from "../../suggest.ts";
import type { Conform, Kernel } from "../../system.ts";

/** Seconds that a device may take for anything. */
const PATIENCE = 1;

/** Whether devices do what the specification says. */
export const conformDevice: Command = {
  name: "conform device",
  summary: "Check devices against the VirtIO specification, section by section",
  usage: "[address|all]",
  words: [0, 1],
  idle:
    "Each check has the device for itself and leaves it as after a reset; --trace tells what they do",
  traced: true,
  options: [
    { name: "only", value: "<checks>", summary: "these, by name or beginning: status,rings.wrap" },
    { name: "misuse", summary: "break the rules, too: what does not serve afterwards violates" },
    { name: "seed", value: "<number>", summary: "where what is random in a run begins (1)" },
    { name: "junit", value: "<file>", summary: "write the results there, too, as JUnit has them" },
    {
      name: "patience",
      value: "<seconds>",
      summary: `how long a device may take for one step of its check (${PATIENCE})`,
    },
    WRITE_OPTION,
  ],
  examples: [
    ["conform device --machine simulated", "all devices of a machine made of device models"],
    ["conform device --machine qemu", "those of a QEMU machine"],
    ["conform device 00:02.0 --machine qemu --only rings --json", "some checks, for programs"],
    ["conform device --machine simulated --misuse --seed 7", "what no driver may do, too"],
    ["conform device --machine simulated --only rings.index_wrap", "one that takes long"],
  ],
  notes: [
    "A device is taken, reset before each check and given back: no driver may have it meanwhile. What a check finds is",
    "that the device conforms, violates its section of VirtIO 1.4, is wedged (does not come to an end in time),",
    "or that the check is not applicable, or cannot tell. The run ends with status 0 if nothing violates and nothing",
    "is wedged, else 1. The same seed makes the same run.",
    "",
    "rings.index_wrap does 65536 requests, and runs only where it is asked for by its name.",
    "",
    "--model mine/model.ts has a model of yours in the simulated machine.",
    "",
    "--misuse does what no driver may do. A device that cannot be trusted may not survive it, nor may its host.",
    "Sectors of disks that are written are put back; on this machine (local, vhost-user) that needs --write.",
    "",
    "--trace tells each check as a span, with its section, its accesses to registers and its doorbells.",
  ],
  run: async (context) => {
    const conform = await context.io.system.loadConform();
    const checks = chosen(context, conform.CHECKS);
    const manner = mannerOf(context);
    using file = await junitFile(context);
    using stack = new DisposableStack();
    const sink = await traceSink(context);
    if (sink) stack.defer(() => sink.end?.());
    // No device of the kernel's is put to work: what is told is what the checks do.
    const { trace: _, ...rest } = context.options;
    await using kernel = await openKernel({ ...context, options: rest });
    const devices: Device[] = [];
    for (const node of nodesOf(context, kernel)) {
      const device = await checkNode(context, kernel, node, conform, {
        ...{ ...manner, checks },
        // One file for all devices.
        ...(sink && { trace: { event: (event) => sink.event(event) } }),
      });
      devices.push(device);
      context.signal.throwIfAborted();
      // Of a machine that ended, one error is enough.
      if (device.error instanceof Error && device.error.name === "QemuGone") break;
    }
    if (file) {
      const text = conform.junit(
        devices.map(({ node, results }) => conform.junitSuite(node.function.address, results)),
      );
      await writeText(file, text);
    }
    return tell(context, kernel, devices);
  },
};

/** A device, and what came of it. */
interface Device {
  readonly node: Node;
  readonly results: readonly Result[];
  /** Why it could not be checked. */
  readonly error?: unknown;
}

/** The checks that the user wants. */
function chosen({ given }: Context, all: readonly Rule[]): readonly Rule[] {
  const misuse = given.misuse === true;
  const { only } = given;
  if (typeof only !== "string") {
    return all.filter((check) => (misuse || !check.misuse) && !check.long);
  }
  const wanted = only.split(",");
  const fits = ({ name, long }: Rule, word: string) =>
    name === word || name.startsWith(`${word}.`) && !long;
  for (const word of wanted) {
    const found = all.filter((check) => fits(check, word));
    if (found.length === 0) {
      const names = all.flatMap(({ name }) => [name, name.split(".")[0]!]);
      throw usageError(
        `Unknown check ${JSON.stringify(word)} for --only.${suggest(word, [...new Set(names)])} ` +
          `Their subjects are ${
            [...new Set(all.map(({ name }) => name.split(".")[0]))].join(", ")
          }`,
      );
    }
    if (!misuse && found.every((check) => check.misuse)) {
      throw usageError(`Cannot run ${word} without --misuse: it breaks the rules`);
    }
  }
  return all.filter((check) =>
    wanted.some((word) => fits(check, word)) && (misuse || !check.misuse)
  );
}

/** How devices are checked, besides by what. */
function mannerOf(context: Context): { readonly patience: number; readonly seed: number } {
  const patience = numberOption(context, "patience", {
    usual: PATIENCE,
    least: 0.01,
    greatest: 1000,
    fraction: true,
  });
  const seed = numberOption(context, "seed", { usual: 1, least: 0, greatest: 2 ** 32 - 1 });
  return { patience: 1000 * patience, seed };
}

/** The devices that the user means: VirtIO devices only. */
function nodesOf({ words: [word = "all"] }: Context, kernel: Kernel): readonly Node[] {
  if (word !== "all") {
    const node = findNode(kernel, word);
    const { address, refusal } = node.function;
    if (!node.identity.virtio) {
      throw new CliError(
        EXIT.notFound,
        `Cannot check ${address}: it is no VirtIO device; ls has those that are, and all checks each of them`,
      );
    }
    if (refusal !== undefined) {
      throw new CliError(refusedExit(kernel), `Cannot check ${address}: ${refusal}`);
    }
    return [node];
  }
  const all = kernel.nodes.filter(({ identity }) => identity.virtio);
  const free = all.filter((node) => node.function.refusal === undefined);
  if (free.length > 0) return free;
  const why = all[0]?.function.refusal;
  throw why === undefined
    ? new CliError(
      EXIT.notFound,
      `Cannot find a VirtIO device on the ${kernel.machine.kind} machine ` +
        `(${kernel.machine.description}). Another machine: --machine local, qemu or simulated`,
    )
    : new CliError(refusedExit(kernel), `Cannot check ${all[0]!.function.address}: ${why}`);
}

async function checkNode(
  context: Context,
  kernel: Kernel,
  node: Node,
  { checkDevice }: Conform,
  { checks, ...manner }: ReturnType<typeof mannerOf> & {
    readonly checks: readonly Rule[];
    readonly trace?: TraceSink;
  },
): Promise<Device> {
  const { options, given, io } = context;
  const { address } = node.function;
  const { type } = node.identity.virtio!;
  context.talk(`Checking ${address} (device type ${type})`);
  const results: Result[] = [];
  try {
    await checkDevice(node.function, checks, {
      ...manner,
      type,
      write: !keepsDisks(kernel) || given.write === true,
      signal: context.signal,
      tell(result) {
        results.push(result);
        if (!options.json) print(context, address, result);
      },
    });
  } catch (error) {
    context.signal.throwIfAborted();
    io.err(`error: ${address}: ${firstLine(messageOf(error))}`);
    return { node, results, error };
  }
  return { node, results };
}

/** What is not about a device of this type is only told of where details are wanted. */
function print({ io, style, options }: Context, address: string, result: Result): void {
  const { verdict, why, check } = result;
  if (verdict === "not applicable" && !options.verbose) return;
  const line = `${address} ${verdict}: ${check.name} (${check.section}): it ${check.does}` +
    (why === undefined ? "" : `; but ${firstLine(why)}`);
  if (verdict === "conforms") io.out(style.faint(line));
  else io.out(verdict === "violates" || verdict === "wedged" ? style.bad(line) : line);
}

function tell(context: Context, kernel: Kernel, devices: readonly Device[]): ExitCode {
  const count = (results: readonly Result[], ...verdicts: readonly Verdict[]) =>
    results.filter(({ verdict }) => verdicts.includes(verdict)).length;
  if (context.options.json) {
    const names = context.io.names();
    printJson(context, "conform device", {
      machine: machineJson(kernel.machine),
      devices: devices.map(({ node, results, error }) => ({
        ...deviceJson(node, names),
        error: error === undefined ? null : errorJson(error),
        checks: results.map(({ check, verdict, why, milliseconds }) => ({
          name: check.name,
          section: check.section,
          level: check.should ? "SHOULD" : "MUST",
          does: check.does,
          verdict,
          why: why ?? null,
          milliseconds,
        })),
      })),
    });
  }
  for (const { node, results } of devices) {
    const figures = ["conforms", "violates", "wedged", "cannot tell", "not applicable"] as const;
    const text = figures.map((verdict) => `${count(results, verdict)} ${verdict}`).join(", ");
    context.talk(`${node.function.address}: ${text}`);
  }
  const failed = devices.find(({ error }) => error !== undefined);
  if (failed) return exitCode(failed.error);
  const all = devices.flatMap(({ results }) => results);
  return count(all, "violates", "wedged") > 0 ? EXIT.failed : EXIT.done;
}
