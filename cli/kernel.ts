import { wholeAddress } from "./address.ts";
import type { CommandOption, Context } from "./command.ts";
import { CliError, EXIT, type ExitCode, exitCode, messageOf, usageError } from "./exit.ts";
import type { Machine } from "./options.ts";
import type { AnyDevice, ClassName, Device, Node, QemuOptions, TraceSink } from "../mod.ts";
import { importClasses, importModels } from "./modules.ts";
import type { Kernel } from "./system.ts";
import { parseVhostUser } from "./vhost_user.ts";

const MIB = 2 ** 20;

/** What a QEMU machine is made of if the user says nothing: a device for each of our drivers, and no file. */
const USUAL_DEVICES: QemuDevices = {
  arguments: [
    ...["-device", "virtio-rng-pci"],
    ...["-device", "virtio-balloon-pci"],
    ...["-device", "virtio-serial-pci", "-chardev", "ringbuf,id=port,size=65536"],
    ...["-device", "virtserialport,chardev=port,name=org.virtio.ring"],
    // QEMU's own network, with no way out of it.
    ...["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="],
  ],
  disks: [64 * MIB],
  units: [64 * MIB],
};

/** What a QEMU machine is made of. */
type QemuDevices = Pick<QemuOptions, "arguments" | "disks" | "units">;

/**
 * Opens the machine that the user named, else `usual`.
 *
 * @param usualDevices Those of a QEMU machine, if the user names none.
 */
export async function openKernel(
  context: Context,
  usual: Machine = "local",
  usualDevices: QemuDevices = USUAL_DEVICES,
): Promise<Kernel> {
  const { io: { system }, options } = context;
  const { machine = usual, board, qemu: program, machineArguments, plugins, ...drive } = options;
  context.detail(`Opening machine ${machine}`);
  const devices = machineArguments.length > 0 ? { arguments: machineArguments } : usualDevices;
  const classes = await importClasses(context);
  const models = await importModels(context);
  const trace = await traceSink(context);
  const { control, metrics } = options;
  const kernel = await disposeIfLate(
    context,
    system.openKernel({
      ...(trace && { trace }),
      ...(control === undefined ? {} : { control }),
      ...(metrics === undefined ? {} : { metrics }),
      machine,
      ...(machine === "qemu"
        ? { qemu: { machine: board, ...(program === undefined ? {} : { program }), ...devices } }
        : {}),
      ...(machine === "vhost-user" ? { vhostUser: machineArguments.map(parseVhostUser) } : {}),
      plugins,
      classes,
      ...(models.length > 0 && { devices: models }),
      isolation: drive.isolation,
      interrupts: drive.interrupts,
      legacy: drive.legacy,
      tunables: drive.tunables,
      unsafeDma: drive.unsafeDma,
      notice: context.talk,
      print: context.talk,
      log: context.detail,
    }),
  ).catch((error) => {
    // What other programs' devices are to be like stands on the command line.
    const wrong = machine === "vhost-user" && error instanceof RangeError;
    throw wrong ? usageError(error.message) : error;
  });
  context.detail(`It is ${kernel.machine.description}`);
  return kernel;
}

/** The file of a trace, if the user wants one. Nothing was done when it cannot be made. */
export async function traceSink(
  { io: { system }, options: { trace, traceLimit }, talk, trouble }: Pick<
    Context,
    "io" | "options" | "talk" | "trouble"
  >,
): Promise<TraceSink | undefined> {
  if (trace === undefined) return undefined;
  const { traceFile } = await system.loadWatch();
  try {
    return traceFile(trace, {
      ...(traceLimit === undefined ? {} : { limit: traceLimit }),
      cut: talk,
      failed: trouble,
    });
  } catch (error) {
    if (error instanceof RangeError) throw usageError(error.message);
    // A folder that is not there is no device that is not there.
    const exit = exitCode(error) === EXIT.permission ? EXIT.permission : EXIT.failed;
    throw new CliError(exit, messageOf(error), { cause: error });
  }
}

/** The option of commands that work with one device. */
export const DEVICE_OPTION: CommandOption = {
  name: "device",
  value: "<address>",
  summary: "the PCI address of the device; else the first that fits is taken",
};

/** A device at work, and the machine that it is in. Disposing it stops both. */
export interface DeviceInUse<C extends ClassName> extends AsyncDisposable {
  /** The machine. */
  readonly kernel: Kernel;
  /** The device. */
  readonly device: Device<C>;
}

/**
 * Opens the machine that the user named, and puts one device of these classes to work: that of {@linkcode
 * DEVICE_OPTION}, else the first.
 *
 * @throws {CliError} With status 3 if there is none, 4 if it must not be taken.
 */
export async function useDevice<C extends ClassName>(
  context: Context,
  ...classes: readonly C[]
): Promise<DeviceInUse<C>> {
  await using stack = new AsyncDisposableStack();
  const kernel = stack.use(await openKernel(context));
  const device = stack.use(await attachOne(context, kernel, ...classes));
  const kept = stack.move();
  return { kernel, device, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/**
 * As {@linkcode useDevice}, on a machine that is open already.
 *
 * @throws {CliError} As {@linkcode useDevice}.
 */
export async function attachOne<C extends ClassName>(
  context: Context,
  kernel: Kernel,
  ...classes: readonly C[]
): Promise<Device<C>> {
  const device = await attach(context, kernel, nodeOf(context, kernel, classes));
  return device as Device as Device<C>;
}

function nodeOf(context: Context, kernel: Kernel, classes: readonly ClassName[]): Node {
  const fits = ({ manifest }: Node) =>
    manifest !== undefined && classes.some((name) => name === manifest.class);
  const wanted = classes.join(" or ");
  const { device: word } = context.given;
  if (typeof word === "string") {
    const node = findNode(kernel, word);
    const { address, refusal } = node.function;
    if (!fits(node)) {
      throw new CliError(
        EXIT.notFound,
        `Cannot use ${address}: no driver for a device of class ${wanted} fits it; ls shows all devices`,
      );
    }
    if (refusal !== undefined) {
      throw new CliError(refusedExit(kernel), `Cannot use ${address}: ${refusal}`);
    }
    return node;
  }
  // Of the classes, the first is what is meant most often: a disk of its own before one of a SCSI adapter.
  const fitting = classes.flatMap((wanted) =>
    kernel.nodes.filter(({ manifest }) => manifest?.class === wanted)
  );
  const [node, ...others] = fitting.filter(isDrivable);
  if (node && others.length > 0) {
    const { manifest, function: { address } } = node;
    context.talk(
      `Using ${address} (${manifest?.name}), one of ${
        others.length + 1
      } that fit; --device names another`,
    );
  }
  if (node) return node;
  const [refused] = fitting;
  if (refused) {
    const { address, refusal } = refused.function;
    throw new CliError(refusedExit(kernel), `Cannot use ${address}: ${refusal}`);
  }
  throw new CliError(
    EXIT.notFound,
    `Cannot find a device of class ${wanted} on the ${kernel.machine.kind} machine ` +
      `(${kernel.machine.description}). Another machine: --machine local, qemu, simulated or vhost-user`,
  );
}

/** Puts the device of a node to work. */
export async function attach(context: Context, kernel: Kernel, node: Node): Promise<AnyDevice> {
  const device = await disposeIfLate(context, kernel.attach(node.function.address));
  context.devices.push(device);
  const { address, unsafeDma } = device;
  if (unsafeDma !== undefined) {
    context.talk(`${address}: UNSAFE DMA: ${unsafeDma}; it can reach all memory of this machine`);
  }
  return device;
}

/**
 * Waits for something that must be disposed of. If we have to give up before it is there, it is disposed of as soon
 * as it is: what is half open would stay behind otherwise. The program's grace time bounds that.
 */
async function disposeIfLate<T extends AsyncDisposable>(
  context: Context,
  opening: Promise<T>,
): Promise<T> {
  try {
    return await context.until(opening);
  } catch (error) {
    await opening.then((late) => late[Symbol.asyncDispose](), () => {});
    throw error;
  }
}

/**
 * The function that the user named.
 *
 * @throws {CliError} With status 2 if `word` is no address, 3 if the machine has no such function.
 */
export function findNode(kernel: Kernel, word: string): Node {
  const address = wholeAddress(word);
  const node = kernel.nodes.find((candidate) => candidate.function.address === address);
  if (node) return node;
  const known = kernel.nodes.map((candidate) => candidate.function.address);
  throw new CliError(
    EXIT.notFound,
    `Cannot find ${address} on the ${kernel.machine.kind} machine (${kernel.machine.description}): ` +
      (known.length > 0 ? `it has ${known.join(", ")}` : "it has no PCI functions") +
      ". Another machine: --machine local, qemu, simulated or vhost-user",
  );
}

/** The status for a device that is refused: for safety, or because the program that is to serve it is not there. */
export function refusedExit({ machine: { kind } }: Pick<Kernel, "machine">): ExitCode {
  return kind === "vhost-user" ? EXIT.notFound : EXIT.refused;
}

/** Whether a driver of ours may take it. */
export function isDrivable(node: Node): boolean {
  return node.manifest !== undefined && node.function.refusal === undefined;
}
