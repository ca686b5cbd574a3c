import type { AnyDevice } from "../mod.ts";
import type { Context } from "./command.ts";
import { CliError, EXIT } from "./exit.ts";

/** What is needed of a device to tell why it is gone. */
type Mortal = Pick<AnyDevice, "address" | "gone">;

/** The error of a device that went out of work while it was needed. */
export async function goneError(
  { until }: Pick<Context, "until">,
  { address, gone }: Mortal,
): Promise<CliError> {
  return because(address, await until(gone));
}

/**
 * Why a command failed one of whose devices went out of work: a request that ended with it does not know the reason,
 * the device does.
 *
 * @returns Undefined if all of them are at work, or were stopped in order.
 */
export async function goneAmong(devices: readonly Mortal[]): Promise<CliError | undefined> {
  for (const { address, gone } of devices) {
    // The first if it is settled, else the second.
    const reason = await Promise.race([gone, undefined]);
    if (reason !== undefined) return because(address, reason);
  }
  return undefined;
}

function because(address: string, reason: string | undefined): CliError {
  return new CliError(EXIT.driver, `Cannot go on with ${address}: ${reason}`);
}
