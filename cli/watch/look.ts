import type { Snapshot } from "../../watch/mod.ts";
import type { Context } from "../command.ts";
import { CliError, EXIT, exitCode, messageOf } from "../exit.ts";

/** How long a program may take to say how its machine is, in milliseconds: its drivers are asked. */
const PATIENCE = 10_000;

/** A machine of another program of this user's. */
export interface Watched extends Disposable {
  /**
   * Looks at it.
   *
   * @throws {ControlError} If the program has ended, or does not answer.
   */
  look(): Promise<Snapshot>;
}

/**
 * Connects to the control socket of a running command.
 *
 * @throws {CliError} With status 5 if that is not permitted, else 1: a sentence says what to do.
 */
export async function watchMachine(
  { io, signal }: Pick<Context, "io" | "signal">,
  socket: string,
): Promise<Watched> {
  const { ControlClient } = await io.system.loadWatch();
  try {
    const client = new ControlClient(socket);
    return {
      look: () => client.look(signal, PATIENCE),
      [Symbol.dispose]: () => client[Symbol.dispose](),
    };
  } catch (error) {
    const exit = exitCode(error) === EXIT.permission ? EXIT.permission : EXIT.failed;
    const { code } = error as { readonly code?: unknown };
    const absent = code === "ENOENT" || code === "ECONNREFUSED";
    const next = absent ? ". A command makes one by --control <socket>" : "";
    throw new CliError(exit, `${messageOf(error)}${next}`, { cause: error });
  }
}
