import type { ConsoleClient, ConsolePort } from "../../../classes/console/mod.ts";
import type { Context } from "../../command.ts";
import { CliError, EXIT } from "../../exit.ts";

/** How long a device may take to announce its ports, in milliseconds. */
export const ANNOUNCE_MS = 2000;

/**
 * Opens the port that the user named, by its name, or else by its number.
 *
 * @throws {CliError} With status 3 if there is none.
 */
export async function openPort(context: Context, client: ConsoleClient): Promise<ConsolePort> {
  const [word] = context.words as [string];
  const ports = await context.until(client.announced(ANNOUNCE_MS));
  const port = client.port(word) ?? (/^\d+$/.test(word) ? client.port(Number(word)) : undefined);
  if (!port) {
    const known = ports.map(({ id, name }) => name === "" ? String(id) : `${id} (${name})`);
    throw new CliError(
      EXIT.notFound,
      `Cannot find a port named or numbered ${JSON.stringify(word)}: the device has ` +
        (known.length > 0 ? known.join(", ") : "no ports"),
    );
  }
  await context.until(port.open());
  return port;
}

/** The error of a port that went away. */
export function takenAway({ id, name }: ConsolePort): CliError {
  const label = name === "" ? `${id}` : `${id} (${name})`;
  return new CliError(EXIT.failed, `Port ${label} was taken away`);
}
