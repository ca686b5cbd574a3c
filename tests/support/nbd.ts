/**
 * Programs that others wrote, before the NBD server.
 *
 * @module
 */

import { assert } from "@std/assert";
import { patience } from "./patience.ts";
import { testWith, withoutPrograms } from "./needs.ts";

/** A test that needs a program, and says so where it is not there. */
export function toolTest(tool: string, name: string, fn: () => Promise<void>): void {
  testWith(withoutPrograms(tool), name, fn);
}

/** What a program prints; fails if it does. */
export async function output(program: string, ...args: readonly string[]): Promise<string> {
  return await outputOf(program, args);
}

async function outputOf(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const signal = patience();
  const command = new Deno.Command(program, { args: [...args], signal, env });
  const { success, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert(success, `${program} ${args.join(" ")}: ${text(stderr)}${text(stdout)}`);
  return text(stdout);
}

/** Says how a request ended: an error by its name. */
const TRIED = `
import errno, json
def tried(what, *args):
    try:
        what(*args)
        return "ok"
    except nbd.Error as error:
        return errno.errorcode.get(error.errnum, str(error))
h.set_strict_mode(0)
`;

/**
 * Runs Python lines in libnbd's shell, where `h` is a handle that is not connected and not strict, `uri` the URI, and
 * `tried(what, ...)` does something and says how it ended.
 *
 * @returns What they print as JSON.
 */
export async function nbdsh(uri: string, script: string): Promise<unknown> {
  const lines = `${TRIED}uri = ${JSON.stringify(uri)}\n${script}`;
  // Its library is that of the system's Python, which need not be the first one on the PATH.
  const text = await outputOf("/usr/bin/nbdsh", ["-c", lines], { PATH: "/usr/bin:/bin" });
  return JSON.parse(text);
}
