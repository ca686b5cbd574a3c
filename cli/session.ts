import { formatAddress, parseAddress } from "../core/pci/address.ts";
import type { Platform } from "../core/platform/platform.ts";
import type { Manifest } from "../core/plugin/manifest.ts";
import type { Context } from "./command.ts";
import { CliError, EXIT, usageError } from "./exit.ts";
import type { Kernel, Machine, Node } from "./system.ts";

/** A machine and its kernel, for as long as a command needs them. */
export interface Session extends AsyncDisposable {
  /** The machine. */
  readonly platform: Platform;
  /** Its kernel. */
  readonly kernel: Kernel;
  /** The drivers. */
  readonly manifests: readonly Manifest[];
  /** The machine's functions. */
  readonly nodes: readonly Node[];
}

/** Opens the machine that the user named, else `usual`. */
export async function openSession(context: Context, usual: Machine = "host"): Promise<Session> {
  const { io: { system }, options } = context;
  const machine = options.machine ?? usual;
  await using stack = new AsyncDisposableStack();
  const manifests = await system.loadManifests(options.plugins);
  context.detail(`Opening machine ${machine}, ${manifests.length} drivers`);
  const opening = system.openMachine({ machine, qemuArguments: options.qemuArguments });
  const platform = stack.use(await disposeIfLate(context, opening));
  context.detail(`It is ${platform.description}`);
  const log = context.detail;
  const { isolation } = options;
  const starting = system.openKernel({ platform, manifests, isolation, log });
  const kernel = stack.use(await disposeIfLate(context, starting));
  const kept = stack.move();
  return {
    platform,
    kernel,
    manifests,
    nodes: kernel.nodes,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Waits for something that must be disposed of; if it comes after we gave up, nobody else would do that. */
async function disposeIfLate<T extends AsyncDisposable>(
  context: Context,
  opening: Promise<T>,
): Promise<T> {
  try {
    return await context.until(opening);
  } catch (error) {
    opening.then((late) => late[Symbol.asyncDispose]()).catch(() => {});
    throw error;
  }
}

/**
 * The function that the user named.
 *
 * @throws {CliError} With status 2 if `word` is no address, 3 if the machine has no such function.
 */
export function findNode(session: Session, word: string): Node {
  let address: string;
  try {
    address = formatAddress(parseAddress(word));
  } catch (error) {
    throw usageError((error as Error).message);
  }
  const node = session.nodes.find((candidate) => candidate.function.address === address);
  if (node) return node;
  const known = session.nodes.map((candidate) => candidate.function.address);
  throw new CliError(
    EXIT.notFound,
    `Cannot find ${address} on the ${session.platform.kind} machine (${session.platform.description}): ` +
      (known.length > 0 ? `it has ${known.join(", ")}` : "it has no PCI functions") +
      ". Another machine: --machine host, qemu or simulated",
  );
}

/** Whether a driver of ours may take it. */
export function isDrivable(node: Node): boolean {
  return node.manifest !== undefined && node.function.refusal === undefined;
}
